"""What starts by itself: the nightly rebuild, the watch over the user's files, the report of failed runs."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import dagster as dg

from assets.core.errors import InputError
from assets.core.fingerprint import fingerprint
from assets.core.home import Home
from assets.core.lake import Lake
from assets.core.progress import LOGGER
from assets.corpora.config import FilesConfig
from assets.corpora.crawl.config import CRAWL_FILES, CrawlConfig
from assets.corpora.crawl.files import crawl_files
from assets.corpora.listing import change_mark
from orchestration.crawl import AFTER, INDEX, NAME, START, stale
from orchestration.jobs import claims, clusterclip_arms, crawl_pages, crawl_start, crawl_text, oreal, quickstart

NIGHTLY_SEEDS = 3


@dg.schedule(job=clusterclip_arms, cron_schedule="0 2 * * *", description="Every night: all plans for the first seeds.")
def nightly() -> Iterator[dg.RunRequest]:
    yield from (
        dg.RunRequest(run_key=None, partition_key=str(seed), tags={"athanor/nightly": "true"})
        for seed in range(NIGHTLY_SEEDS)
    )


nightly_claims = dg.ScheduleDefinition(
    name="nightly_claims", job=claims, cron_schedule="0 6 * * *", description="Every morning: claims from the night."
)


@dg.sensor(job=quickstart, minimum_interval_seconds=60, description="New or changed files in the user's corpus folder.")
def corpus_files(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """Start the main job when the folder of ATHANOR_CORPUS is not what it was at the last look."""
    from assets.corpora.assets import user_files

    config = FilesConfig()
    if not config.path:
        return dg.SkipReason("no corpus of one's own: set ATHANOR_CORPUS to a file, a folder or a URL")
    try:
        seen = fingerprint(dict(user_files(config)))
    except InputError as error:
        return dg.SkipReason(str(error))
    if seen == context.cursor:
        return dg.SkipReason(f"nothing new in {config.path}")
    return dg.SensorResult(run_requests=[dg.RunRequest(run_key=seen, partition_key="0")], cursor=seen)


@dg.sensor(
    jobs=[crawl_start, crawl_pages],
    minimum_interval_seconds=60,
    description="New, changed and vanished files in the folder of a crawl.",
)
def crawl_folder(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """Make every file of ATHANOR_CRAWL a partition and read those that are new or changed since the last look."""
    config = CrawlConfig()
    if not config.folder:
        return dg.SkipReason("no crawl of one's own: set ATHANOR_CRAWL to a file, a folder or a URL")
    home = Home.from_environment()
    if any(Lake(home.lake, home.work).current(key) is None for key in START):
        return dg.SensorResult(
            run_requests=[dg.RunRequest(run_key=f"start for {config.folder}", job_name="crawl_start")]
        )
    try:
        marks = {name: change_mark(path) for name, path in crawl_files(config).items()}
    except InputError as error:
        return dg.SkipReason(str(error))
    before = json.loads(context.cursor or "{}")
    known = set(context.instance.get_dynamic_partitions(NAME))
    new, gone = sorted(marks.keys() - known), sorted(known - marks.keys())
    changed = [name for name, mark in marks.items() if before.get(name) != mark]
    if not (new or gone or changed):
        return dg.SkipReason(f"nothing new in {config.folder}")
    runs = [
        dg.RunRequest(run_key=f"{name} {marks[name]}", partition_key=name, job_name="crawl_pages") for name in changed
    ]
    partitions = [CRAWL_FILES.build_add_request(new), CRAWL_FILES.build_delete_request(gone)]
    return dg.SensorResult(run_requests=runs, dynamic_partitions_requests=partitions, cursor=json.dumps(marks))


@dg.asset_sensor(
    asset_key=dg.AssetKey(INDEX.split("/")),
    job=crawl_text,
    minimum_interval_seconds=60,
    description="What the index of duplicates changed: crawl files of which something else is left now.",
)
def crawl_leftovers(context: dg.SensorEvaluationContext, asset_event: dg.EventLogEntry) -> dg.SensorResult:
    """One run for every crawl file whose text does not follow from the present index."""
    home = Home.from_environment()
    names = stale(AFTER, Lake(home.lake, home.work), context.instance, {})
    return dg.SensorResult(
        run_requests=[dg.RunRequest(run_key=f"{asset_event.run_id} {name}", partition_key=name) for name in names]
    )


@dg.asset_sensor(
    asset_key=dg.AssetKey(["oreal", "sft_champion"]),
    job=oreal,
    minimum_interval_seconds=60,
    description="A new champion among the starts: reinforcement learning from it.",
)
def new_start(context: dg.SensorEvaluationContext, asset_event: dg.EventLogEntry) -> dg.RunRequest | dg.SkipReason:
    """Start OREAL for the seed of a start that became the champion; one run for each version."""
    event = asset_event.asset_materialization
    assert event is not None
    told = {name: value.value for name, value in event.metadata.items()}
    if not told.get("moved"):
        return dg.SkipReason(f"the champion stays: {told.get('decision', 'no decision')}")
    return dg.RunRequest(run_key=f"{told['registered_model']}-{told['version']}", partition_key=str(told["seed"]))


@dg.run_failure_sensor(description="Write the first cause of a failed run to the log, and post it where asked.")
def run_failed(context: dg.RunFailureSensorContext) -> None:
    """Log the cause; with ATHANOR_FAILURE_WEBHOOK set, post `{"text": …}` there (as Slack and Mattermost take it)."""
    text = f"run {context.dagster_run.run_id} of {context.dagster_run.job_name} failed: {context.failure_event.message}"
    LOGGER.error(text)
    webhook = os.environ.get("ATHANOR_FAILURE_WEBHOOK")
    if webhook:
        import requests

        requests.post(webhook, json={"text": text}, timeout=10).raise_for_status()


automation = dg.AutomationConditionSensorDefinition("automation", target=dg.AssetSelection.all())
SCHEDULES = [nightly, nightly_claims]
SENSORS = [corpus_files, crawl_folder, crawl_leftovers, new_start, run_failed, automation]
