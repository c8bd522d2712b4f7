"""The decorator that turns a function into an asset: fingerprint, reuse, atomic publication, metadata.

    @recipe("corpora/clean_documents", inputs={"documents": Input("corpora/documents")})
    def clean_documents(out: DatasetWriter, config: CleanConfig, documents: Dataset) -> None:
        '''Documents worth training on.'''

The function's parameters are `out`, and by name: `config` (a `dg.Config`), its inputs, `partition`, its resources, a
`Responder` for each of its roles, and `key`, for one function that makes several assets.
"""

from __future__ import annotations

import inspect
import time
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from assets.core.errors import AthanorError, disk_is_full
from assets.core.fingerprint import Ingredients, canonical, changes, fingerprint
from assets.core.generation.ledger import Caller
from assets.core.generation.responder import Binding
from assets.core.generation.roles import Roles
from assets.core.generation.roles_file import ROLES
from assets.core.lake import Dataset, DatasetWriter, Lake
from assets.core.lake.manifest import Kind
from assets.core.present import describe_dataset
from assets.core.progress import LOGGER
from assets.core.published import Published
from assets.core.sources import code_closure
from models.inference.engine import EngineError

LEDGER_CHECK = "ledger_adds_up"
# As `part` of an input: the slice that is named like the partition which is built.
OWN_PARTITION = "<own partition>"
# For assets that cost seconds: built again as soon as what they read changed. Dear ones wait for a job.
CHEAP = dg.AutomationCondition.eager()


@dataclass(frozen=True)
class Input:
    """A dataset that a recipe reads: all of it, one `part`, or all partitions (as a mapping) of a partitioned one.

    `among` leaves those partitions that a dynamic definition has now: what left it is no longer read.
    """

    key: str
    part: str | None = None
    all_partitions: bool = False
    among: dg.DynamicPartitionsDefinition | None = None


@dataclass(frozen=True)
class Recipe:
    """A function and what it declares; `produce` runs it or reuses what it published."""

    function: Callable[..., None]
    key: str
    inputs: Mapping[str, Input]
    partitioned: bool
    kind: Kind
    keeps_ledger: bool
    external: Callable[..., Mapping[str, Any]] | None
    resources: Sequence[str]
    checks: Sequence[str]
    roles: Sequence[str] = ()
    publishes: str | None = None
    config: type[dg.Config] | None = None

    def is_current(self, lake: Lake, config: dg.Config | None, partition: str, instance: dg.DagsterInstance) -> bool:
        """Whether what is published for a partition follows from the present ingredients: nothing is to be done.

        For recipes without roles and without resources that count in the fingerprint.
        """
        published = lake.current(self.key, partition)
        if published is None or not published.is_whole:
            return False
        try:
            inputs = self.load_inputs(lake, partition, instance)
        except AthanorError:  # an input is not there yet
            return False
        return published.manifest.fingerprint == fingerprint(self.ingredients(config, inputs, partition, {}, {}))

    def load_inputs(
        self, lake: Lake, partition: str, store: dg.DagsterInstance | None = None
    ) -> dict[str, Dataset | dict[str, Dataset]]:
        loaded: dict[str, Dataset | dict[str, Dataset]] = {}
        for name, wanted in self.inputs.items():
            if wanted.all_partitions:
                found = lake.partitions(wanted.key)
                if wanted.among is not None and store is not None:
                    known = set(wanted.among.get_partition_keys(dynamic_partitions_store=store))
                    found = {part: dataset for part, dataset in found.items() if part in known}
                loaded[name] = found
                continue
            own = lake.current(wanted.key, partition) if partition else None
            dataset = own or lake.get(wanted.key)
            part = partition if wanted.part == OWN_PARTITION else wanted.part
            loaded[name] = dataset.slice(part) if part else dataset
        return loaded

    def ingredients(
        self,
        config: dg.Config | None,
        inputs: Mapping[str, Any],
        partition: str,
        resources: Mapping[str, Any],
        bindings: Mapping[str, Binding],
    ) -> Ingredients:
        """Everything that determines the content: code, config, inputs, outside data, resources, roles, partition."""
        outside: Mapping[str, Any] = {}
        if self.external:
            given = {"partition": partition} if "partition" in inspect.signature(self.external).parameters else {}
            outside = self.external(config, **given) if config is not None else self.external(**given)
        played = {name: {"size": each.size, **each.identity} for name, each in bindings.items()}
        return {
            "key": self.key,
            "partition": partition,
            "code": code_closure(self.function),
            "config": {} if config is None else config.model_dump(mode="json"),
            "inputs": {
                name: {part: dataset.digest for part, dataset in found.items()}
                if isinstance(found, dict)
                else found.digest
                for name, found in inputs.items()
            },
            "outside": dict(outside),
            "outside_code": code_closure(self.external) if self.external else {},
            "identity": {
                name: resource.identity() for name, resource in resources.items() if hasattr(resource, "identity")
            },
            **({"roles": played} if played else {}),
        }

    def produce(
        self,
        lake: Lake,
        config: dg.Config | None,
        partition: str,
        resources: Mapping[str, Any],
        log: Callable[[str], None],
        roles: Roles,
        run: str,
        store: dg.DagsterInstance | None = None,
    ) -> tuple[Dataset, bool]:
        """The dataset for the present ingredients, and whether it was reused."""
        with lake.hold(self.key, partition):
            inputs = self.load_inputs(lake, partition, store)
            bindings = roles.bind(self.roles)
            ingredients = self.ingredients(config, inputs, partition, resources, bindings)
            mark = fingerprint(ingredients)
            published = lake.version(self.key, partition, mark)
            if published is not None and published.is_whole:
                lake.point(published)
                return published, True
            if published is not None:
                log(f"{self.key}: rebuilt because files of {published.store.url(published.location)} are damaged")
            previous = lake.current(self.key, partition)
            if previous is not None and previous.manifest.fingerprint != mark:
                log(
                    f"{self.key}: rebuilt because " + "; ".join(changes(previous.manifest.ingredients, ingredients)[:8])
                )
            parameters = inspect.signature(self.function).parameters.values()
            wanted = {parameter.name for parameter in parameters}
            if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters):
                wanted |= inputs.keys()

            def fill(out: DatasetWriter) -> None:
                with roles.open(bindings, Caller(self.key, partition, mark, run=run)) as responders:
                    available = {
                        "key": self.key, "config": config, "partition": partition, **inputs, **resources, **responders
                    }  # fmt: skip
                    self.function(out=out, **{name: available[name] for name in available if name in wanted})
                    out.roles = {name: responder.report() for name, responder in responders.items()}
                if {check.name for check in out.checks} != set(self.checks):
                    raise TypeError(f"{self.key} declares the checks {list(self.checks)}, but made {out.checks}")

            dataset = lake.build(
                key=self.key,
                partition=partition,
                kind=self.kind,
                fingerprint=mark,
                ingredients=ingredients,
                fill=fill,
                keeps_ledger=self.keeps_ledger,
            )
            return dataset, False


RECIPES: dict[dg.AssetsDefinition, Recipe] = {}
"""What was declared for each asset."""


def recipe(
    key: str,
    *,
    inputs: Mapping[str, Input] | None = None,
    partitions: dg.PartitionsDefinition | None = None,
    kind: Kind = "dataset",
    ledger: bool = True,
    external: Callable[..., Mapping[str, Any]] | None = None,
    resources: Sequence[str] = (),
    checks: Sequence[str] = (),
    roles: Sequence[str] = (),
    publishes: str | None = None,
    kinds: set[str] | None = None,
    tags: Mapping[str, str] | None = None,
    pool: str | None = None,
    automation: dg.AutomationCondition | None = None,
) -> Callable[[Callable[..., None]], dg.AssetsDefinition]:
    """Declare an asset made by a function.

    `external(config)` names what lies outside the graph (files, versions) by digests; it may take `partition` too.
    `ledger=False` is for recipes whose rows are not made one from one (a plan of draws, a checkpoint). `resources` are
    names of Dagster resources that the function takes; one with an `identity()` counts in the fingerprint. `checks`
    are names of blocking checks, whose outcome the function gives by `out.check`. `roles` (of
    `generation.roles_file.ROLES`) are played by whom the resource `roles` says. `publishes` is the key of an asset with
    dynamic partitions of that name, which the function publishes on its way by `published` (see
    `assets.core.published`).
    """
    unknown = set(roles) - ROLES.keys()
    if unknown:
        raise ValueError(f"{key}: no such role: {', '.join(sorted(unknown))}; the roles are {', '.join(ROLES)}")

    def decorate(function: Callable[..., None]) -> dg.AssetsDefinition:
        hints = typing.get_type_hints(function)
        config_type = hints.get("config")
        made = Recipe(
            function,
            key,
            inputs or {},
            partitions is not None,
            kind,
            ledger,
            external,
            tuple(resources),
            tuple(checks),
            tuple(roles),
            publishes,
            config_type,
        )
        asset_key = dg.AssetKey(key.split("/"))

        def execute(context: dg.AssetExecutionContext, config: dg.Config | None = None) -> dg.MaterializeResult[Any]:
            partition = context.partition_key if partitions is not None else ""
            available = {name: getattr(context.resources, name) for name in resources}
            return _run(made, context, context.resources.lake.open(), config, partition, available)

        if config_type is None:

            def compute(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
                return execute(context)
        else:

            def compute(context: dg.AssetExecutionContext, config: dg.Config) -> dg.MaterializeResult[Any]:  # type: ignore[misc]
                return execute(context, config)

            compute.__annotations__["config"] = config_type
        compute.__annotations__["context"] = dg.AssetExecutionContext
        compute.__annotations__["return"] = dg.MaterializeResult
        check_specs = [
            dg.AssetCheckSpec(name, asset=asset_key, blocking=True)
            for name in [*([LEDGER_CHECK] if ledger else []), *checks]
        ]
        asset = dg.asset(
            key=asset_key,
            description=inspect.getdoc(function),
            deps=[
                dg.AssetDep(
                    wanted.key.split("/"),
                    partition_mapping=dg.AllPartitionMapping() if wanted.all_partitions else None,
                )
                for wanted in made.inputs.values()
            ],
            partitions_def=partitions,
            group_name=key.split("/")[0],
            kinds={"python"} | (kinds or set()),
            tags={"paper": key.split("/")[0], **(tags or {})},
            owners=["team:athanor"],
            code_version=fingerprint(code_closure(function))[:12],
            required_resource_keys={"lake", *resources, *(["roles"] if roles else [])},
            check_specs=check_specs,
            pool=pool,
            automation_condition=automation,
        )
        declared = asset(compute)
        RECIPES[declared] = made
        return declared

    return decorate


def _run(
    made: Recipe,
    context: dg.AssetExecutionContext,
    lake: Lake,
    config: dg.Config | None,
    partition: str,
    resources: Mapping[str, Any],
) -> dg.MaterializeResult[Any]:
    started = time.monotonic()
    name = f"{made.key}@{partition}" if partition else made.key
    if made.publishes:
        resources = {**resources, "published": Published(made.publishes, lake, context)}
    try:
        roles = context.resources.roles if made.roles else Roles()
        dataset, reused = made.produce(
            lake, config, partition, resources, context.log.info, roles, context.run_id, context.instance
        )
    except (AthanorError, EngineError) as error:
        raise dg.Failure(description=str(error), allow_retries=False) from error
    except Exception as error:
        if not disk_is_full(error):
            raise
        raise dg.Failure(
            description=f"{name}: the disk is full ({error})\n  → free space and run again: what was published is "
            "unchanged, and finished assets are not built again",
            allow_retries=False,
        ) from error
    seconds = time.monotonic() - started
    LOGGER.info("%s %s: %s rows, %.1f s", "reused" if reused else "built ", name, f"{dataset.rows:,}", seconds)
    results = [
        dg.AssetCheckResult(
            check_name=check.name, passed=check.passed, metadata={"facts": dg.MetadataValue.json(check.facts)}
        )
        for check in dataset.manifest.checks
    ]
    if made.keeps_ledger:
        ledger = dataset.manifest.ledger or {}
        results.append(
            dg.AssetCheckResult(
                check_name=LEDGER_CHECK,
                passed=_adds_up(ledger) and ledger["rows_out"] == dataset.rows,
                metadata={"ledger": dg.MetadataValue.json(ledger)},
            )
        )
    return dg.MaterializeResult(
        data_version=dg.DataVersion(dataset.digest),
        metadata={"reused": reused, **describe_dataset(dataset)},
        check_results=results,
    )


def _adds_up(ledger: Mapping[str, Any]) -> bool:
    return bool(ledger) and ledger["rows_in"] == ledger["rows_out"] + ledger["failed"] + sum(ledger["dropped"].values())


__all__ = ["OWN_PARTITION", "RECIPES", "Input", "Recipe", "canonical", "recipe"]
