import type { CatalogueEntry, InstantRange, RecoveryHole } from '../../model/recovery.ts';

/** What backups that were exported from a snapshot schedule can restore besides their own instants. Pure. */

/** Two windows no further apart than this are one, since nobody can ask for an instant between them. */
const TOUCHING_MS = 1;
/** Most holes in a list: the newest ones. */
const MAX_HOLES = 20;

type WithHistory = CatalogueEntry & { readonly history: NonNullable<CatalogueEntry['history']> };

function withHistory(entries: readonly CatalogueEntry[]): readonly WithHistory[] {
  return entries
    .filter((entry): entry is WithHistory => entry.history !== undefined)
    .sort((one, other) => Date.parse(one.history.to) - Date.parse(other.history.to));
}

/** Ranges of all instants that carried history can reach. Ranges that touch are joined. Oldest first. */
export function historyRanges(entries: readonly CatalogueEntry[]): readonly InstantRange[] {
  const ranges: { from: string; to: string }[] = [];
  for (const { history } of withHistory(entries)) {
    const last = ranges.at(-1);
    const touches = last !== undefined && Date.parse(history.safeFrom) - Date.parse(last.to) <= TOUCHING_MS;
    if (touches) last.to = history.to;
    else ranges.push({ from: history.safeFrom, to: history.to });
  }
  return ranges;
}

/** The stretches between the ranges that can't be reached, each with the reason. If there are very many, only the newest. */
export function historyHoles(entries: readonly CatalogueEntry[]): readonly RecoveryHole[] {
  const holes: RecoveryHole[] = [];
  let before: string | undefined;
  for (const { backup, history } of withHistory(entries)) {
    const { from, to, safeFrom } = history;
    if (before !== undefined && Date.parse(from) - Date.parse(before) > TOUCHING_MS) {
      holes.push({ from: before, to: from, reason: 'no snapshot that carries these instants was exported' });
    }
    if (Date.parse(safeFrom) > Date.parse(from)) {
      const reason = `the schema changed, or the database was taken back in place, before ${safeFrom}, or nobody had looked until then; ${backup} can’t go back over that`;
      holes.push({ from, to: safeFrom, reason });
    }
    before = to;
  }
  return holes.slice(-MAX_HOLES);
}

/** The backup whose history contains the instant, but before a change of the schema. */
export function beforeDdl(entries: readonly CatalogueEntry[], wantedMs: number): WithHistory | undefined {
  return withHistory(entries).find(
    ({ history: { from, safeFrom } }) => Date.parse(from) <= wantedMs && wantedMs < Date.parse(safeFrom),
  );
}
