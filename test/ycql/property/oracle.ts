import type { Cell, Cells, Interval, Part, ReadTable } from './read-table.ts';

/*
 * What a copy must be. Nothing here is the engine's: its comparison is one of the things that are tested. Each row of the source, and each
 * partition's static columns, is in the copy as one of its two states has it, as a whole; where nobody changed it during the scan there
 * is one state. What isn't so must be in the backup's list of losses.
 */

export interface Expectation {
  /** The source before and after the scan. */
  readonly states: readonly [before: ReadTable, after: ReadTable];
  /** The source now: a row that it still has is lost where the copy lacks it. */
  readonly now: ReadTable;
  /** Keys of rows that were written or deleted during the scan. */
  readonly changed: ReadonlySet<string>;
  /** Columns of a partition's key. */
  readonly partitionColumns: number;
  /** Columns whose times of writing, or whose expiries, the backup lists as losses. */
  readonly untimed: ReadonlySet<string>;
  readonly unended: ReadonlySet<string>;
  /** So many rows the backup lists as such that go with their last cell, though the source may keep their bare keys. */
  readonly expiring: number;
  /** When the scan ended, milliseconds since 1970. */
  readonly scannedUntil: number;
  readonly restored: Interval;
  /** Times of writing are the restore's own. */
  readonly asNew: boolean;
  /** What the target held before the restore. */
  readonly own: ReadTable;
}

/**
 * Clocks of one machine don't differ, but a page takes a moment to arrive, and its rows' TTLs are counted from when it was asked for; a
 * server counts in whole seconds.
 */
const NEAR_MS = 3_000;

/** How a copy differs from what it must be: each difference with its key. */
export function differencesOf(copy: ReadTable, expectation: Expectation): readonly string[] {
  const { states, own, now, changed, expiring } = expectation;
  const [before, after] = states;
  const judge = new Judge(copy.read, expectation);
  const differences: string[] = [];
  const lost: string[] = [];
  for (const key of keysOf(before.rows, after.rows, own.rows, copy.rows)) {
    const found = copy.rows.get(key);
    const views = [before.rows.get(key)];
    if (changed.has(key))
      views.push(judge.afterChange(before.rows.get(key), after.rows.get(key), after.read));
    else if (hasEndedByItself(before.rows.get(key), after.rows.get(key))) views.push(undefined);
    const problem = judge.problemOf(views, own.rows.get(key), found);
    if (problem !== undefined) differences.push(`row ${key}: ${problem}`);
    else if (found === undefined && now.rows.has(key) && !judge.mayBeDeleted(views)) lost.push(key);
  }
  if (lost.length > expiring) {
    differences.push(
      `rows ${lost.join(', ')}: the source keeps them and the copy doesn't; the list of losses has ${expiring}`,
    );
  }
  const { partitionColumns } = expectation;
  const changedPartitions = new Set(
    [...changed].map((key) => key.split('/').slice(0, partitionColumns).join('/')),
  );
  for (const key of keysOf(before.statics, after.statics, own.statics, copy.statics)) {
    const views = [before.statics.get(key)];
    if (changedPartitions.has(key))
      views.push(judge.afterChange(before.statics.get(key), after.statics.get(key), after.read));
    const problem = judge.problemOfStatics(views, own.statics.get(key), copy.statics.get(key));
    if (problem !== undefined) differences.push(`static columns of ${key}: ${problem}`);
  }
  return differences;
}

function keysOf(...maps: readonly ReadonlyMap<string, unknown>[]): ReadonlySet<string> {
  return new Set(maps.flatMap((map) => [...map.keys()]));
}

/** A row that was nothing but its key, made by an INSERT with a TTL, which no server tells: the scan may have come after its end. */
function hasEndedByItself(before: Cells | undefined, after: Cells | undefined): boolean {
  return before?.size === 0 && after === undefined;
}

class Judge {
  readonly #read: Interval;
  readonly #how: Expectation;

  /** @param read when the copy was read */
  constructor(read: Interval, how: Expectation) {
    this.#read = read;
    this.#how = how;
  }

  /** What the scan may have seen after a change: also cells that ended after it and before the source was read again. */
  afterChange(before: Cells | undefined, after: Cells | undefined, read: Interval): Cells | undefined {
    if (before === undefined || after === undefined) return after;
    const cells = new Map(after);
    for (const [name, { isList, parts }] of before) {
      const there = after.get(name);
      const ended = parts.filter(
        (part) =>
          hasEnded(part, read.to) && there?.parts.every((other) => other.name !== part.name) !== false,
      );
      // Where elements of a list stood is not known any more.
      if (ended.length === 0 || (isList && there !== undefined)) continue;
      cells.set(name, { isList, parts: [...(there?.parts ?? []), ...ended] });
    }
    return cells;
  }

  /** Undefined where the row is as one of the views has it, or is the target's own because the backup has none. */
  problemOf(
    views: readonly (Cells | undefined)[],
    own: Cells | undefined,
    found: Cells | undefined,
  ): string | undefined {
    const problems = views.map((view) => {
      const untouched = view === undefined || this.#mayBeOver(view);
      const problem =
        view === undefined
          ? 'it was not there'
          : found === undefined
            ? this.#mayHaveComeAndGone(view)
              ? undefined
              : 'it is missing'
            : this.#cells(view, found);
      return problem !== undefined && untouched && this.#isUntouched(own, found) ? undefined : problem;
    });
    return problems.includes(undefined) ? undefined : [...new Set(problems)].join(' | ');
  }

  problemOfStatics(
    views: readonly (Cells | undefined)[],
    own: Cells = NO_CELLS,
    found: Cells = NO_CELLS,
  ): string | undefined {
    const problems = views.map((view) => {
      const problem = this.#cells(view ?? NO_CELLS, found);
      const untouched = view === undefined || (view.size > 0 && this.#mayBeOver(view));
      return problem !== undefined && untouched && this.#isUntouched(own, found) ? undefined : problem;
    });
    return problems.includes(undefined) ? undefined : [...new Set(problems)].join(' | ');
  }

  /** The scan may have come when there was no such row. */
  mayBeDeleted(views: readonly (Cells | undefined)[]): boolean {
    return views.includes(undefined);
  }

  /** All that kept a row may have ended, as far as it was restored with an end. A row that is nothing but a key never ends. */
  #mayBeOver(view: Cells): boolean {
    return (
      view.size > 0 &&
      [...view].every(([name, { parts }]) => parts.every((part) => hasEnded(part, this.#endsUntil(name))))
    );
  }

  /** The restore may have written the row over whatever the target held there, and all of it has ended since. */
  #mayHaveComeAndGone(view: Cells): boolean {
    const { restored } = this.#how;
    const wasWritten = [...view.values()].some(({ parts }) =>
      parts.some(({ ends }) => ends === undefined || ends.to >= restored.from - NEAR_MS),
    );
    return wasWritten && this.#mayBeOver(view);
  }

  /** What had ended by then isn't in the copy: a column that comes back without its end lacks what the scan didn't see any more. */
  #endsUntil(column: string): number {
    return this.#how.unended.has(column) ? this.#how.scannedUntil : this.#read.to;
  }

  #isUntouched(own: Cells | undefined, found: Cells | undefined): boolean {
    if (own === undefined || found === undefined) return own === found;
    return this.#cells(own, found, UNTOUCHED) === undefined;
  }

  #cells(wanted: Cells, found: Cells, rules: Rules = this.#how): string | undefined {
    for (const name of keysOf(wanted, found)) {
      const problem = this.#cell(name, wanted.get(name), found.get(name), rules);
      if (problem !== undefined) return `column ${name}: ${problem}`;
    }
    return undefined;
  }

  #cell(column: string, wanted: Cell | undefined, found: Cell | undefined, rules: Rules): string | undefined {
    const [old, now] = [wanted?.parts ?? [], found?.parts ?? []];
    if (wanted?.isList === true || found?.isList === true) return this.#list(column, old, now, rules);
    for (const part of now) {
      const before = old.find(({ name }) => name === part.name);
      const problem = before === undefined ? 'is too many' : this.#part(column, before, part, rules);
      if (problem !== undefined) return `${part.name} ${problem}`;
    }
    for (const part of old) {
      const isThere = now.some(({ name }) => name === part.name);
      if (!isThere && !hasEnded(part, this.#endsUntil(column))) return `${part.name} is missing`;
    }
    return undefined;
  }

  /** Elements in their order, of which those may be missing that have ended. */
  #list(column: string, old: readonly Part[], now: readonly Part[], rules: Rules): string | undefined {
    const [first, ...others] = old;
    if (first === undefined) return now.length === 0 ? undefined : `${now.length} elements are too many`;
    const [found, ...left] = now;
    const problem = found === undefined ? 'is missing' : this.#part(column, first, found, rules);
    const rest = problem === undefined ? this.#list(column, others, left, rules) : undefined;
    if (problem === undefined && rest === undefined) return undefined;
    if (hasEnded(first, this.#endsUntil(column)) && this.#list(column, others, now, rules) === undefined)
      return undefined;
    return problem === undefined ? rest : `element ${first.value} ${problem}`;
  }

  #part(column: string, wanted: Part, found: Part, rules: Rules): string | undefined {
    const { restored } = this.#how;
    if (wanted.value !== found.value) return `is ${found.value} instead of ${wanted.value}`;
    if (rules.asNew) {
      const at = Number((found.writtenAt ?? 0n) / 1_000n);
      if (at < restored.from - NEAR_MS || at > restored.to + NEAR_MS)
        return `was written at ${found.writtenAt}, and the restore ran from ${restored.from} to ${restored.to}`;
    } else if (!rules.untimed.has(column) && wanted.writtenAt !== found.writtenAt) {
      return `was written at ${found.writtenAt} instead of ${wanted.writtenAt}`;
    }
    const ends = rules.unended.has(column) ? undefined : wanted.ends;
    return sameEnd(ends, found.ends, restored)
      ? undefined
      : `ends ${shown(found.ends)} instead of ${shown(ends)}`;
  }
}

type Rules = Pick<Expectation, 'asNew' | 'untimed' | 'unended'>;

/** Of rows of the target that the backup lacks: nothing of them changes. */
const UNTOUCHED: Rules = { asNew: false, untimed: new Set(), unended: new Set() };
const NO_CELLS: Cells = new Map();

/** It may have ended by then. */
function hasEnded({ ends }: Part, by: number): boolean {
  return ends !== undefined && ends.from <= by + NEAR_MS;
}

/**
 * A TTL is worked out just before it is written and counts from then: a cell ends no earlier than it did, and later by no more than the
 * restore took.
 */
function sameEnd(wanted: Interval | undefined, found: Interval | undefined, restored: Interval): boolean {
  if (wanted === undefined || found === undefined) return wanted === found;
  const lateMs = restored.to - restored.from;
  return found.to >= wanted.from - NEAR_MS && found.from <= wanted.to + lateMs + NEAR_MS;
}

function shown(ends: Interval | undefined): string {
  return ends === undefined
    ? 'never'
    : `between ${new Date(ends.from).toISOString()} and ${new Date(ends.to).toISOString()}`;
}
