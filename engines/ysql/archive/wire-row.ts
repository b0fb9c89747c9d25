import { isAscii } from 'node:buffer';
import type { Cell, Tuple } from './tuple.ts';

/*
 * A new row as its message holds it: a letter for each value, and its length and text where it has one. Most rows of a busy table are only
 * written on, so to make texts of their values and bytes of the texts again would be most of a replay's work.
 */

const TEXT = 't'.charCodeAt(0);
const UNSET = 'u'.charCodeAt(0);
const LETTER_BYTES = 1;
const LENGTH_BYTES = 4;

const TAB = 0x09;
const NEWLINE = 0x0a;
const RETURN = 0x0d;
const BACKSLASH = 0x5c;
const LETTER_N = 0x4e;
const LETTER_R = 0x72;
const LETTER_T = 0x74;
const LOWER_N = 0x6e;

/** Its bytes have been looked through: letters, lengths and UTF-8 are right. */
export class WireRow {
  /** Number of values. */
  readonly length: number;
  /** False where the message leaves values out. */
  readonly isWhole: boolean;
  readonly #values: Buffer;
  #isAscii: boolean | undefined;

  /** @param values the bytes of all values, without their number */
  constructor(values: Buffer, shape: { readonly length: number; readonly isWhole: boolean }) {
    this.#values = values;
    this.length = shape.length;
    this.isWhole = shape.isWhole;
  }

  tuple(): Tuple {
    const cells: Cell[] = [];
    this.#walk((from, to) => cells.push(this.#cell(from, to)));
    return cells;
  }

  /** The values of these columns, in their order. */
  cells(columns: readonly number[]): Tuple {
    return columns.map((column) => {
      let at = 0;
      for (let passed = 0; passed < column; passed += 1) at = behind(this.#values, at);
      const letter = this.#values[at];
      if (letter !== TEXT) return letter === UNSET || column >= this.length ? undefined : null;
      return this.#cell(at + LETTER_BYTES + LENGTH_BYTES, behind(this.#values, at));
    });
  }

  /** So many bytes at most `copyTo` writes for so many columns, each named once. */
  copyBytesAtMost(columns: number): number {
    return 2 * this.#values.length + 3 * columns + 1;
  }

  /**
   * Writes a line of COPY's text format with the values of these columns; a value that is left out is NULL. Returns where the line ends.
   *
   * @param target has room for `copyBytesAtMost` from `at` on
   */
  copyTo(target: Buffer, at: number, columns: readonly number[]): number {
    const values = this.#values;
    let end = at;
    let next = 0;
    let place = 0;
    for (const [index, column] of columns.entries()) {
      if (index > 0) target[end++] = TAB;
      // Columns are asked for in their order, as a rule.
      if (column < next) {
        next = 0;
        place = 0;
      }
      while (next < column) {
        place = behind(values, place);
        next += 1;
      }
      if (column >= this.length || values[place] !== TEXT) {
        target[end++] = BACKSLASH;
        target[end++] = LETTER_N;
      } else {
        const from = place + LETTER_BYTES + LENGTH_BYTES;
        end = escapeTo(target, end, values, from, behind(values, place));
      }
    }
    target[end++] = NEWLINE;
    return end;
  }

  /** Tells where each value's text begins and ends: -1 for NULL, -2 where it is left out. */
  #walk(value: (from: number, to: number) => void): void {
    const values = this.#values;
    let at = 0;
    for (let column = 0; column < this.length; column += 1) {
      const letter = values[at];
      const next = behind(values, at);
      if (letter === TEXT) value(at + LETTER_BYTES + LENGTH_BYTES, next);
      else value(letter === UNSET ? -2 : -1, 0);
      at = next;
    }
  }

  #cell(from: number, to: number): Cell {
    if (from === -1) return null;
    if (from < 0) return undefined;
    this.#isAscii ??= isAscii(this.#values);
    return this.#values.toString(this.#isAscii ? 'latin1' : 'utf8', from, to);
  }
}

/** Where the value after the one that begins at `place` begins. */
function behind(values: Buffer, place: number): number {
  if (values[place] !== TEXT) return place + LETTER_BYTES;
  return place + LETTER_BYTES + LENGTH_BYTES + values.readUInt32BE(place + LETTER_BYTES);
}

function escapeTo(target: Buffer, at: number, source: Buffer, from: number, to: number): number {
  let end = at;
  for (let place = from; place < to; place += 1) {
    const byte = source[place] ?? 0;
    // In UTF-8, no byte of a longer character is one of these.
    if (byte === BACKSLASH || (byte <= RETURN && (byte === TAB || byte === NEWLINE || byte === RETURN))) {
      target[end++] = BACKSLASH;
      target[end++] =
        byte === TAB ? LETTER_T : byte === NEWLINE ? LOWER_N : byte === RETURN ? LETTER_R : BACKSLASH;
    } else target[end++] = byte;
  }
  return end;
}
