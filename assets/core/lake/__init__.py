"""Datasets that a reader sees whole or not at all."""

from assets.core.lake.dataset import Dataset
from assets.core.lake.lake import Lake
from assets.core.lake.manifest import Manifest
from assets.core.lake.writer import DatasetWriter

__all__ = ["Dataset", "DatasetWriter", "Lake", "Manifest"]
