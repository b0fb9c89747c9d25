import type { BackupFate } from '../../activities/prune.ts';
import { formatAmount, formatBytes, formatCount, formatDuration } from '../../model/amounts.ts';
import type { ArchiveStanding } from '../../model/archive-standing.ts';
import type { VerifyReport } from '../../model/backup.ts';
import type { CatalogueEntry } from '../../model/recovery.ts';
import { NOT_COUNTED } from '../../model/rows.ts';
import { DAY_MS, HOUR_MS } from '../../model/time.ts';
import { archiveLines } from '../../planning/archive/standing.ts';
import { standingOf } from '../../planning/standing.ts';
import { bars, conditionOf, timeline } from './charts.ts';
import { Markup, markup } from './markup.ts';
import type { PlanReport, UnreadPlan } from './plan-report.ts';
import { STYLE } from './style.ts';

/** Most rows of a table; the others are counted. */
const MAX_ROWS = 200;

/** The whole report as one file that needs nothing else: no script, no request; its pictures are SVG. Pure. */
export function reportPage(plans: readonly (PlanReport | UnreadPlan)[], now: Date): string {
  const at = shortTime(now.toISOString());
  const page = markup`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<link rel="icon" href="data:,"><title>Backups, ${at}</title><style>${new Markup(STYLE)}</style></head>
<body><main><header><h1>Backups</h1><p>${plans.length === 1 ? 'One plan' : `${plans.length} plans`}, as found in the repository on ${at}. All times are UTC.</p></header>
${plans.map((plan) => ('problem' in plan ? unreadSection(plan) : planSection(plan, now)))}
<footer>Written by <code>holdfast report</code>. What is said here was read from the repositories: manifests, and the ledger of verifications and drills.</footer>
</main></body></html>
`;
  return page.text;
}

function unreadSection({ plan, problem, remedy }: UnreadPlan): Markup {
  return markup`<section><h2>${plan.name}</h2><p class="FAILED verdict">Its repository can't be read.</p><p>${problem}</p><p class="note">${remedy}</p></section>`;
}

function planSection(report: PlanReport, now: Date): Markup {
  const { plan, catalogue, fates, history } = report;
  const { entries } = catalogue;
  const { source, repository } = plan.pipeline;
  const head = markup`<h2>${plan.name}</h2><p class="what">${source.engine} into ${repository.name}${plan.schedule === undefined ? '' : `; backs up at ${plan.schedule.cron.join(' and ')} ${plan.schedule.timezone}`}</p>`;
  if (entries.length === 0) {
    return markup`<section>${head}<p class="FAILED verdict">There is no backup that could be restored.</p></section>`;
  }
  const nowMs = now.getTime();
  const fateOf = new Map(fates.map((fate) => [fate.backup, fate]));
  return markup`<section>${head}${tiles(report, nowMs)}
    <figure><figcaption>Recovery window <span>${formatAmount(entries.length, 'instant')}, ${shortTime(entries.at(-1)?.instant ?? '')} to ${shortTime(entries[0]?.instant ?? '')}</span></figcaption>${timeline(entries, fateOf, nowMs)}${legend()}</figure>
    ${archiveList(report.archive, now)}
    ${bars(entries, nowMs, 'Stored size', ({ storedBytes }) => storedBytes, formatBytes)}
    ${bars(entries, nowMs, 'Duration', ({ durationMs }) => durationMs, formatDuration)}
    <h3>What the next retention run does</h3>${retention(report)}
    <h3>Backups</h3>${backupTable(entries, fateOf)}
    <h3>Verifications and drills</h3>${historyTable(history)}</section>`;
}

function archiveList(archive: readonly ArchiveStanding[], now: Date): Markup {
  if (archive.length === 0) return markup``;
  const lines = archive.flatMap((standing) => archiveLines(standing, now));
  return markup`<h3>Archive of changes</h3><ul>${lines.map((line) => markup`<li>${line}</li>`)}</ul>`;
}

function tiles({ catalogue }: PlanReport, nowMs: number): Markup {
  const standing = standingOf(catalogue);
  const ago = (ms: number | undefined) => (ms === undefined ? 'never' : coarse(nowMs - ms));
  const old = (ms: number | undefined, limitMs: number) => {
    if (ms === undefined) return 'bad';
    return nowMs - ms > limitMs ? 'warn' : 'good';
  };
  const { newestInstantMs, lastGood, lastDrill, lastGoodDrill, damaged, backups, storedBytes } = standing;
  const drilled = lastDrill?.verdict === 'FAILED' ? 'bad' : old(lastGoodDrill?.atMs, 35 * DAY_MS);
  return markup`<div class="tiles">
    ${tile(old(newestInstantMs, 26 * HOUR_MS), 'Would be lost now', ago(newestInstantMs), 'since the newest instant')}
    ${tile(old(lastGood?.instantMs, 3 * DAY_MS), 'Known to be good', ago(lastGood?.instantMs), lastGood === undefined ? 'no verification found one good' : 'since the newest verified instant')}
    ${tile(drilled, 'Last good drill', lastGoodDrill === undefined ? 'never' : `${ago(lastGoodDrill.atMs)} ago`, lastGoodDrill?.restoreMs === undefined ? (lastDrill?.verdict ?? 'none was done') : `restored in ${formatDuration(lastGoodDrill.restoreMs)}`)}
    ${tile(damaged > 0 ? 'bad' : 'good', 'Damaged', formatCount(damaged), `of ${formatAmount(backups, 'backup')}`)}
    ${tile('', 'Stored', formatBytes(storedBytes), `in ${formatAmount(backups, 'backup')}`)}</div>`;
}

/** `3 days`, `5 h`, `12 min`. */
function coarse(ms: number): string {
  if (ms >= 2 * DAY_MS) return `${Math.floor(ms / DAY_MS)} days`;
  if (ms >= 2 * HOUR_MS) return `${Math.floor(ms / HOUR_MS)} h`;
  return `${Math.max(0, Math.floor(ms / 60_000))} min`;
}

function tile(condition: string, name: string, value: string, note: string): Markup {
  return markup`<div class="tile ${condition}"><span>${name}</span><b>${value}</b><small>${note}</small></div>`;
}

function legend(): Markup {
  const sign = (inner: Markup, words: string) =>
    markup`<span><svg viewBox="0 0 16 16" aria-hidden="true">${inner}</svg>${words}</span>`;
  return markup`<div class="legend">
    ${sign(markup`<g class="mark good"><circle cx="8" cy="8" r="5"/></g>`, 'found good')}
    ${sign(markup`<g class="mark"><circle cx="8" cy="8" r="5"/></g>`, 'not verified')}
    ${sign(markup`<g class="mark damaged"><path d="M3 3 l10 10 m0 -10 l-10 10"/></g>`, 'damaged')}
    ${sign(markup`<g class="mark good goes"><circle cx="8" cy="8" r="5"/></g>`, 'goes by retention')}
    ${sign(markup`<g class="drill OK"><path d="M8 2 l6 11 h-12 z"/></g>`, 'drill')}</div>`;
}

function retention({ fates, plan }: PlanReport): Markup {
  const going = fates.filter(({ fate }) => fate === 'delete' || fate === 'mark' || fate === 'wait');
  if (plan.retention === undefined)
    return markup`<p class="note">Nothing: the plan has no retention, so everything is kept.</p>`;
  if (going.length === 0)
    return markup`<p class="note">It deletes nothing and marks nothing; what is there is kept (${formatAmount(fates.length, 'backup')}).</p>`;
  return markup`<div class="scroll"><table><thead><tr><th>instant</th><th>backup</th><th>next run</th><th>deleted after</th><th>why</th></tr></thead><tbody>
    ${going.slice(0, MAX_ROWS).map((fate) => markup`<tr><td>${shortTime(fate.instant)}</td><td class="id">${fate.backup}</td><td>${fateInWords(fate)}</td><td>${'deleteAfter' in fate ? shortTime(fate.deleteAfter) : ''}</td><td>${fate.reason}</td></tr>`)}
  </tbody></table></div>${more(going.length)}`;
}

function fateInWords(fate: BackupFate | undefined): Markup {
  switch (fate?.fate) {
    case 'delete':
      return markup`<b class="delete">deletes it</b>`;
    case 'mark':
      return markup`<b class="mark-fate">marks it</b>`;
    case 'wait':
      return markup`<span class="wait">marked, waits</span>`;
    case 'unmark':
      return markup`takes the mark away`;
    case 'ask':
      return markup`<span class="wait">keeps it until others approve</span>`;
    default:
      return markup`keeps it`;
  }
}

function backupTable(entries: readonly CatalogueEntry[], fates: ReadonlyMap<string, BackupFate>): Markup {
  const rows = entries.slice(0, MAX_ROWS).map((entry) => {
    const { instant, backup, rows: count, bytes, storedBytes, newBytes, durationMs, verified, drill } = entry;
    const condition = conditionOf(entry);
    return markup`<tr><td>${shortTime(instant)}</td><td class="id">${backup}</td><td class="n">${count === null ? NOT_COUNTED : formatCount(count)}</td><td class="n">${formatBytes(bytes)}</td><td class="n">${formatBytes(storedBytes)}${newBytes === undefined ? '' : `, ${formatBytes(newBytes)} new`}</td><td class="n">${durationMs === undefined ? '' : formatDuration(durationMs)}</td>
      <td class="${condition}-text">${verified === undefined ? 'not verified' : `${verified.verdict} (${verified.level})`}</td><td>${drill === undefined ? '' : markup`<span class="${drill.verdict}">${drill.verdict}</span>`}</td><td>${fateInWords(fates.get(backup))}</td></tr>`;
  });
  return markup`<div class="scroll"><table><thead><tr><th>instant</th><th>backup</th><th class="n">rows</th><th class="n">data</th><th class="n">stored</th><th class="n">took</th><th>verified</th><th>drill</th><th>next retention run</th></tr></thead><tbody>${rows}</tbody></table></div>${more(entries.length)}`;
}

function historyTable(history: readonly VerifyReport[]): Markup {
  if (history.length === 0) return markup`<p class="note">None was done.</p>`;
  const rows = history.slice(0, MAX_ROWS).map((report) => {
    const { finishedAt, backup, level, verdict, problems, drill, startedAt } = report;
    const took = drill?.restoreMs ?? Date.parse(finishedAt) - Date.parse(startedAt);
    const [problem] = problems;
    const held = drill?.assertions.filter((each) => each.verdict === 'OK').length ?? 0;
    const found =
      problem ?? (drill === undefined ? '' : `${held} of ${drill.assertions.length} assertions hold`);
    return markup`<tr><td>${shortTime(finishedAt)}</td><td class="id">${backup}</td><td>${drill === undefined ? level : 'drill'}</td><td class="${verdict} verdict">${verdict}</td><td class="n">${formatDuration(took)}</td><td>${found}${problems.length > 1 ? ` (and ${problems.length - 1} more)` : ''}</td></tr>`;
  });
  return markup`<div class="scroll"><table><thead><tr><th>when</th><th>backup</th><th>what</th><th>verdict</th><th class="n">took</th><th>found</th></tr></thead><tbody>${rows}</tbody></table></div>${more(history.length)}`;
}

function more(count: number): Markup {
  return count <= MAX_ROWS
    ? markup``
    : markup`<p class="note">… and ${formatCount(count - MAX_ROWS)} older.</p>`;
}

/** `2026-11-24 06:00`. */
function shortTime(iso: string): string {
  return iso.slice(0, 16).replace('T', ' ');
}
