"""What runs inside the sandbox: the standard library only, and nothing else of this project.

The folder is mounted alone into the sandbox under the same package name; `assets` and `assets.core` are empty there.
"""
