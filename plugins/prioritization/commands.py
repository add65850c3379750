"""`dialer score`: learn, put lists in order, say why, and say how good it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import numpy as np
from threadpoolctl import threadpool_limits

from dialer_core.plugin_api import AccountId, CampaignId, CommandRefusedError, ConfigError, EngineHandle
from dialer_core.plugin_cli import (
    Invocation,
    PictureFile,
    campaign_settings,
    example,
    invocation,
    open_handle,
)
from plugins.prioritization import evaluation, pictures, reasons, scoring
from plugins.prioritization.evaluation import Quality
from plugins.prioritization.features import CATEGORIES, COLUMNS, build
from plugins.prioritization.history import CHANNELS, History, local_times
from plugins.prioritization.reading import read
from plugins.prioritization.runs import RunError, Scores, scores_file
from plugins.prioritization.settings import PLUGIN, PrioritizationSettings, settings_of

_KEPT = "last_run"


@click.group(epilog=example("dialer score train cobranza", "dialer score run cobranza"))
def score() -> None:
    """Who first, by which channel, at what hour: learn it from a campaign's own history."""


def _history(call: Invocation, engine: EngineHandle, campaign: str, its: PrioritizationSettings) -> History:
    campaign_settings(call, campaign)
    return asyncio.run(read(engine, CampaignId(campaign), days=its.history_days, zone=its.zone, progress=_progress(call)))  # fmt: skip


def _progress(call: Invocation) -> Callable[[str, int], None]:
    def tell(table: str, rows: int) -> None:
        if rows >= 50_000 and rows % 50_000 == 0:
            click.echo(f"  {table}: {rows:,} rows read", err=True)

    return (lambda _table, _rows: None) if call.as_json else tell


@score.command("train", epilog=example("dialer score train cobranza"))
@click.argument("campaign")
@invocation
def train(call: Invocation, campaign: str) -> None:
    """Learn from CAMPAIGN's history who answers and who pays, and say how good it is on the latest part of it."""
    with open_handle(call, PLUGIN) as engine, threadpool_limits(limits=1):
        its = settings_of(engine)
        told = _learn(call, engine, campaign, _history(call, engine, campaign, its), its)
    call.give(told)


def _learn(
    call: Invocation, engine: EngineHandle, campaign: str, history: History, its: PrioritizationSettings
) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for what in scoring.WHAT:
        known = scoring.rows_of(what, history, its)
        file = scoring.model_file(engine.folder(), campaign, what)
        if lacking := scoring.enough(known, its):
            file.unlink(missing_ok=True)
            told[what] = {"model": None, "reason": lacking}
            call.say(f"{what}: the rule score is used: {lacking}")
            continue
        quality, *_ = _judge(known)
        scoring.train(known).save(file)
        told[what] = {"model": str(file), "held_out": asdict(quality)}
        call.say(f"{what}: learned from {known.happened.size:,} calls; {_in_words(quality)}")
    return told


def _judge(known: scoring.Rows) -> tuple[Quality, Any, Any, Any]:
    return evaluation.out_of_time(
        known.rows, known.happened, known.at_s, COLUMNS, [COLUMNS.index(name) for name in CATEGORIES]
    )


def _in_words(quality: Quality) -> str:
    return (
        f"on the latest {quality.rows:,} of them AUC {quality.auc:.3f}, the first tenth {quality.lift_top_tenth:.2f} times the mean,"
        f" what is said is off by {quality.calibration_error:.3f}"
    )


@score.command("run", epilog=example("dialer score run cobranza", "dialer score run cobranza --train"))
@click.argument("campaign")
@click.option("--seed", type=int, default=None, help="Of the draws of hour and channel; by default the day.")
@click.option("--dry-run", is_flag=True, help="Change no list.")
@click.option(
    "--train",
    "anew",
    is_flag=True,
    help="Learn anew first, as 'dialer score train' does, of the same reading.",
)
@invocation
def run(call: Invocation, campaign: str, seed: int | None, *, dry_run: bool, anew: bool) -> None:
    """Put CAMPAIGN's list in order for this hour, by expected value; keep each account's best hour and channel."""
    with open_handle(call, PLUGIN) as engine, threadpool_limits(limits=1):
        its = settings_of(engine)
        enabled = call.settings.dialer.plugins.enabled
        usable = {name: name == "voice" or name in enabled for name in CHANNELS}
        history = _history(call, engine, campaign, its)
        learned = _learn(call, engine, campaign, history, its) if anew else None
        found = scoring.models(engine.folder(), campaign)
        drawn = int(history.now_s // 86_400) if seed is None else seed
        scores = scoring.score(history, found, its, usable=usable, seed=drawn)
        order = scoring.priorities(scores, history, its)
        changed = 0
        if not dry_run:
            changed = asyncio.run(_write(engine, campaign, scores, order))
        by_channel = np.bincount(scores.channel, minlength=len(CHANNELS))
        told = {
            "accounts": int(scores.ids.size), "changed": changed, "learned": sorted(found),
            "best_channel": dict(zip(CHANNELS, by_channel.tolist(), strict=True)),
            "expected": round(float(np.maximum(scores.value, 0).sum()), 2),
        } | ({"train": learned} if learned is not None else {})  # fmt: skip
    call.give(told)
    how = " and ".join(sorted(found)) or "nothing yet: the rule score is used"
    call.say(
        f"{campaign}: {scores.ids.size:,} accounts in order, {changed:,} priorities changed; learned: {how}"
    )
    shown = ", ".join(f"{name} {number:,}" for name, number in zip(CHANNELS, by_channel.tolist(), strict=True) if number)  # fmt: skip
    call.say(f"best channel: {shown}" if shown else "no account may be tried")


async def _write(engine: EngineHandle, campaign: str, scores: Scores, order: Any) -> int:
    scores.save(scores_file(engine.folder(), campaign))
    ids = [_dashed(one.decode()) for one in scores.ids]
    changed = await engine.leads.rank_many(CampaignId(campaign), ids, order, scoring.propensities(scores))
    await engine.store.put(f"{_KEPT}/{campaign}", {"at_utc": engine.now().isoformat(), "accounts": len(ids), "changed": changed})  # fmt: skip
    return changed


def _dashed(digits: str) -> AccountId:
    return AccountId(f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}")


@score.command("explain", epilog=example("dialer score explain cobranza 4401-1"))
@click.argument("campaign")
@click.argument("account")
@click.option("--portfolio", default="default", show_default=True, help="The account's.")
@click.option(
    "--language", type=click.Choice(["es", "en"]), default="es", show_default=True, help="Of the reasons."
)
@invocation
def explain(call: Invocation, campaign: str, account: str, portfolio: str, language: str) -> None:
    """Say what ACCOUNT (the customer's own number of it) is worth, when and by what to try it, and why."""
    with open_handle(call, PLUGIN) as engine, threadpool_limits(limits=1):
        its = settings_of(engine)
        known = asyncio.run(engine.accounts.find([account], portfolio))
        if account not in known:
            raise CommandRefusedError(f"there is no account {account!r} in the portfolio {portfolio!r}", "unknown")  # fmt: skip
        history = _history(call, engine, campaign, its)
        place = np.flatnonzero(history.ids == known[account].replace("-", "").encode())
        if not place.size:
            raise CommandRefusedError(f"{account!r} is not on the list of {campaign}", "unknown")
        folder = engine.folder()
        found = scoring.models(folder, campaign)
        at = place[:1]
        sample = np.unique(np.linspace(0, history.ids.size - 1, min(history.ids.size, 5_000)).astype(np.int64))  # fmt: skip
        hour, weekday = local_times(np.full(1, history.now_s), history.zone[at], history.zones, its.zone)
        rows = build(history, at, np.full(1, history.now_s), hour, weekday)
        beside = reasons.middle(
            build(history, sample, np.full(sample.size, history.now_s), np.full(sample.size, hour[0]), np.full(sample.size, weekday[0]))
        )  # fmt: skip
        told: dict[str, Any] = {"account": account, "learned": sorted(found)}
        for what in scoring.WHAT:
            model = found.get(what)
            said = float(scoring.predict(what, model, rows)[0])
            why = reasons.explain(rows[0], beside, lambda given, w=what, m=model: scoring.predict(w, m, given), language)  # type: ignore[misc]  # fmt: skip
            told[what] = {"probability": said, "why": [asdict(one) for one in why]}
        told |= _of_last_run(folder, campaign, known[account])
    call.give(told)
    for what, name in (("contact", "answers a call at this hour"), ("pay", f"pays within {its.pay_days} days of a call")):  # fmt: skip
        call.say(f"{name}: {told[what]['probability']:.1%}{'' if what in found else ' (rule score)'}")
        for one in told[what]["why"]:
            call.say(f"  {one['points']:+.1%}  {one['text']}")
    if "best_hour" in told:
        call.say(
            f"best: {told['best_channel']} at {told['best_hour']}:00; expected value {told['value']:.2f}"
        )


def _of_last_run(folder: Path, campaign: str, account: str) -> dict[str, Any]:
    try:
        scores = Scores.load(scores_file(folder, campaign))
    except RunError:
        return {}
    place = scores.place(account)
    if place is None:
        return {}
    return {
        "best_hour": int(scores.hour[place]), "best_channel": CHANNELS[scores.channel[place]], "value": float(scores.value[place]),
        "contact_by_hour": {str(scores.first_hour + index): round(float(one), 4) for index, one in enumerate(scores.contact[place])},
    }  # fmt: skip


@score.command(
    "evaluate",
    epilog=example(
        "dialer score evaluate --campaign cobranza --picture lift.png",
        "dialer score evaluate --csv loans.csv --target default",
    ),
)
@click.option("--campaign", default=None, help="Its own history: learned from its earlier part, judged on the later.")  # fmt: skip
@click.option("--what", type=click.Choice(scoring.WHAT), default="pay", show_default=True, help="Of a campaign.")  # fmt: skip
@click.option(
    "--csv",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=None,
    help="Any table with a target column.",
)
@click.option("--target", default=None, help="Which column of the CSV says whether it happened.")
@click.option("--positive", default=None, help="Which of the target's two values is yes.")
@click.option("--time", default=None, help="Which column says when: the latest 30 % are held out. Without it, rows drawn.")  # fmt: skip
@click.option("--ignore", multiple=True, metavar="COLUMN", help="Not to be learned from; repeatable.")
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Of the order of rows, where there is no time."
)
@click.option("--picture", type=PictureFile(), default=None, help="Write lift and calibration as a PNG.")
@invocation
def evaluate(
    call: Invocation,
    campaign: str | None,
    what: str,
    file: Path | None,
    target: str | None,
    positive: str | None,
    time: str | None,
    ignore: tuple[str, ...],
    seed: int,
    picture: Path | None,
) -> None:
    """Judge the learning on rows it has not seen: of a campaign, or of any CSV with a target column."""
    if (campaign is None) == (file is None):
        raise click.UsageError("give one of --campaign and --csv")
    if file is not None and target is None:
        raise click.UsageError("--csv needs --target, the column that says whether it happened")
    fair: dict[str, Any] = {}
    with threadpool_limits(limits=1):
        if file is not None:
            table = evaluation.read_table(file, target or "", positive=positive, time=time, ignore=ignore, seed=seed)  # fmt: skip
            quality, *_ = evaluation.out_of_time(table.rows, table.happened, table.order, table.columns, table.categories)  # fmt: skip
            title = f"{file.name}, {target}"
        else:
            with open_handle(call, PLUGIN) as engine:
                its = settings_of(engine)
                history = _history(call, engine, str(campaign), its)
                known = scoring.rows_of(what, history, its)
                if lacking := scoring.enough(known, its):
                    raise ConfigError(f"{campaign}: too little to judge by: {lacking}")
                quality, *_ = _judge(known)
                fair = asyncio.run(_fairness(engine, str(campaign), history, its))
            title = f"{campaign}, {what}"
    if picture is not None:
        pictures.draw(quality, title, picture)
    call.give({"held_out": asdict(quality), "fairness": fair})
    call.say(f"{title}: {_in_words(quality)}")
    call.say(f"Brier {quality.brier:.4f} (skill {quality.brier_skill:.3f}), log loss {quality.log_loss:.4f}, KS {quality.ks:.3f}")  # fmt: skip
    call.table(
        ("tenth", "said", "seen", "lift", "found so far"),
        [
            (str(place + 1), f"{said:.4f}", f"{seen:.4f}", f"{seen / quality.share:.2f}", f"{gained:.1%}")
            for place, (said, seen, gained) in enumerate(zip(quality.said[::-1], quality.seen[::-1], quality.gained, strict=True))
        ],
    )  # fmt: skip
    for name, groups in fair.items():
        call.say(f"{name}: share of each group in the first fifth (below 0.80 of the most asks for a look)")
        call.table(
            (name, "accounts", "in the first fifth", "beside the most"),
            [(one["group"], str(one["accounts"]), f"{one['share_in_top']:.1%}", f"{one['beside_most']:.2f}") for one in groups],
        )  # fmt: skip


async def _fairness(
    engine: EngineHandle, campaign: str, history: History, its: PrioritizationSettings
) -> dict[str, list[dict[str, float | str | int]]]:
    """Return how the list's order treats languages and regions, which are not learned from."""
    found = scoring.models(engine.folder(), campaign)
    scores = scoring.score(history, found, its, usable={"voice": True})
    person_of: dict[bytes, bytes] = {}
    async for page, _ in engine.read_table("account", ("id", "person_id")):
        person_of |= dict(zip(page["id"].tolist(), page["person_id"].tolist(), strict=True))
    about: dict[bytes, tuple[str, str]] = {}
    async for page, _ in engine.read_table("person", ("id", "language", "region")):
        about |= dict(zip(page["id"].tolist(), zip(page["language"], page["region"], strict=True), strict=True))  # fmt: skip
    told = [about.get(person_of.get(one, b""), ("", "")) for one in scores.ids.tolist()]
    said = scores.pay.astype(np.float64)
    return {
        "language": evaluation.fairness(said, [one[0] for one in told]),
        "region": evaluation.fairness(said, [one[1] for one in told]),
    }
