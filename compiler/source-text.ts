/** Offsets into a file's text, `end` exclusive. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** A plan file, as the compiler takes it. */
export interface SourceFile {
  /** As the user wrote it; appears in diagnostics. */
  readonly path: string;
  readonly text: string;
  /**
   * `context` files only lend their repositories and templates to plans in the other files; their own plans and errors are ignored.
   * Absent: `checked`.
   */
  readonly role?: 'checked' | 'context';
}

/** 1-based line and column (UTF-16 code units). */
export interface Position {
  readonly line: number;
  readonly column: number;
}

/** Finds lines and columns in one text. */
export class LineIndex {
  readonly #text: string;
  readonly #starts: readonly number[];

  constructor(text: string) {
    this.#text = text;
    const starts = [0];
    for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) starts.push(at + 1);
    this.#starts = starts;
  }

  /** The position of an offset. An offset outside the text gets the position of the nearest end. */
  position(offset: number): Position {
    const at = Math.max(0, Math.min(offset, this.#text.length));
    let low = 0;
    let high = this.#starts.length - 1;
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if ((this.#starts[middle] ?? 0) <= at) low = middle;
      else high = middle - 1;
    }
    return { line: low + 1, column: at - (this.#starts[low] ?? 0) + 1 };
  }

  /** The text of a 1-based line without its line break. */
  line(number: number): string {
    const start = this.#starts[number - 1] ?? this.#text.length;
    const end = this.#starts[number] ?? this.#text.length + 1;
    return this.#text.slice(start, end - 1).replace(/\r$/, '');
  }
}
