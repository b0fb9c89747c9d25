import type { Expectation, Scalar } from '../model/drill.ts';
import { type AnswerRows, MAX_ANSWER_ROWS } from './engine.ts';

/** Characters of a value that a verdict repeats. The value is a database's data, and verdicts go into the ledger and into messages. */
const LONGEST_SHOWN = 80;

/** Says in a clause what is wrong with an answer; undefined if it is as expected. Pure. */
export function differenceInAnswer(expect: Expectation, rows: AnswerRows): string | undefined {
  if (expect.kind === 'rows') return differenceInRows(expect.rows, rows);
  const [first] = rows;
  if (rows.length !== 1 || first?.length !== 1) return `expected one value, and got ${shapeOf(rows)}`;
  const found = first[0] ?? null;
  if (expect.kind === 'value') {
    if (equals(expect.value, found)) return undefined;
    return `expected ${shown(expect.value)}, and got ${shown(found)}`;
  }
  const { min, max } = expect;
  const value = found === null || found.trim() === '' ? Number.NaN : Number(found);
  const isWithin =
    !Number.isNaN(value) && (min === undefined || value >= min) && (max === undefined || value <= max);
  if (isWithin) return undefined;
  const bounds = [
    ...(min === undefined ? [] : [`at least ${min}`]),
    ...(max === undefined ? [] : [`at most ${max}`]),
  ];
  return `expected a number, ${bounds.join(' and ')}, and got ${shown(found)}`;
}

function differenceInRows(expected: readonly (readonly Scalar[])[], rows: AnswerRows): string | undefined {
  if (rows.length !== expected.length)
    return `expected ${counted(expected.length)}, and got ${shapeOf(rows)}`;
  for (const [index, wanted] of expected.entries()) {
    const found = rows[index] ?? [];
    const isEqual =
      found.length === wanted.length && wanted.every((value, column) => equals(value, found[column] ?? null));
    if (!isEqual) return `row ${index + 1}: expected ${listed(wanted)}, and got ${listed(found)}`;
  }
  return undefined;
}

/** Compares numbers as numbers, truth values as the server writes them, and everything else as text. */
function equals(expected: Scalar, found: string | null): boolean {
  if (expected === null || found === null) return expected === found;
  if (typeof expected === 'number') return found.trim() !== '' && Number(found) === expected;
  if (typeof expected === 'boolean') return (expected ? ['t', 'true'] : ['f', 'false']).includes(found);
  return found === expected;
}

function shapeOf(rows: AnswerRows): string {
  if (rows.length > MAX_ANSWER_ROWS) return `more than ${MAX_ANSWER_ROWS} rows`;
  const columns = rows[0]?.length ?? 0;
  return rows.length === 0
    ? 'no row'
    : `${counted(rows.length)} of ${columns} column${columns === 1 ? '' : 's'}`;
}

function counted(rows: number): string {
  return rows === 1 ? '1 row' : `${rows} rows`;
}

function listed(row: readonly Scalar[]): string {
  return `(${row.map(shown).join(', ')})`;
}

function shown(value: Scalar): string {
  const text = String(value);
  return text.length > LONGEST_SHOWN ? `${text.slice(0, LONGEST_SHOWN)}…` : text;
}
