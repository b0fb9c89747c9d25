import { existsSync } from 'node:fs';
import { readDump } from '../../../engines/ysql/server/dump-script.ts';
import { DUMP_UNREADABLE, scriptParts } from '../../../engines/ysql/server/sql-text.ts';
import { HoldfastError } from '../../../model/errors.ts';
import { Dice } from '../../crash/dice.ts';
import { CANARY } from './names.ts';
import type { RealRestores } from './real.ts';
import { hostileSchema } from './schema.ts';
import { written } from './written.ts';

export interface HostileReport {
  /** Dumps that were read, and said what they should. */
  readonly read: number;
  /** Dumps that were refused, with the line that can't be read. */
  readonly refused: number;
  /** Restored into a real PostgreSQL, and compared equal. */
  readonly restored: number;
  /** Of the real ones: refused. */
  readonly refusedReal: number;
  /** What must not happen, one line each. */
  readonly problems: readonly string[];
}

/**
 * Reads `cases` dumps of schemas with hostile names and compares what was read with what was meant; `real` (where there is one) takes
 * every `realEvery`-th schema through a PostgreSQL. The same seed makes the same cases.
 */
export async function runHostile(options: {
  readonly cases: number;
  readonly seed: number;
  readonly realEvery: number;
  readonly real?: RealRestores;
  readonly say?: (line: string) => void;
}): Promise<HostileReport> {
  const report = { read: 0, refused: 0, restored: 0, refusedReal: 0 };
  const problems: string[] = [];
  for (let index = 0; index < options.cases; index += 1) {
    const seed = (options.seed * 1_000_003 + index) >>> 0;
    try {
      if (readsAsMeant(seed)) report.read += 1;
      else report.refused += 1;
      if (options.real !== undefined && index % options.realEvery === 0) {
        if (await options.real.comesBack(seed)) report.restored += 1;
        else report.refusedReal += 1;
      }
    } catch (error) {
      problems.push(
        `case ${index} (seed ${seed}): ${error instanceof Error ? error.message : String(error)}`,
      );
    }
    if (existsSync(CANARY)) {
      problems.push(`case ${index} (seed ${seed}) ran a program`);
      break;
    }
    if (index > 0 && index % 1000 === 0)
      options.say?.(`${index} cases: ${JSON.stringify(report)}, ${problems.length} problems`);
  }
  return { ...report, problems };
}

/** False where the dump is refused by name. Throws where it is read as something else. */
function readsAsMeant(seed: number): boolean {
  const dice = new Dice(seed ^ 0xd1ce);
  const { script, expected } = written(hostileSchema(seed), {
    quotesUsingIndex: dice.chance(0.3),
    guards: dice.chance(0.6),
    roleChecks: dice.chance(0.5),
    restrict: dice.chance(0.3),
  });
  const found = readOrRefused(script);
  if (found === undefined) return false;
  const wanted = expected.map(({ type, statement }) => `${type}: ${statement}`);
  const first = wanted.findIndex((line, at) => line !== found[at]);
  if (first >= 0 || found.length !== wanted.length) {
    throw new Error(
      `statement ${first} of ${wanted.length} (${found.length} found): wanted ${JSON.stringify(wanted[first])}, found ${JSON.stringify(found[first])}`,
    );
  }
  return true;
}

function readOrRefused(script: string): readonly string[] | undefined {
  try {
    return readDump(script).steps.map(({ entry, statement }) => `${entry?.type ?? ''}: ${statement.text}`);
  } catch (error) {
    if (isRefusal(error)) return undefined;
    throw error;
  }
}

/** A refusal names the line. */
export function isRefusal(error: unknown): boolean {
  return (
    error instanceof HoldfastError && error.code === DUMP_UNREADABLE && /In line \d+ /.test(error.message)
  );
}

/**
 * A dump cut and spliced at random: it must be read or refused, after no more parts than it has characters. Returns the number of parts.
 */
export function readsBroken(script: string): number {
  let parts = 0;
  try {
    for (const _ of scriptParts(script)) {
      parts += 1;
      if (parts > script.length + 1)
        throw new Error(`more parts than characters in ${JSON.stringify(script.slice(0, 200))}`);
    }
    readDump(script);
  } catch (error) {
    if (!isRefusal(error)) throw error;
  }
  return parts;
}
