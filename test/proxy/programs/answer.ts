import type { FactId } from '../../facts/facts.ts';

/** What a stand-in says by itself, instead of the program that it wraps, and the fact that the answer rests on. */
export class Answer extends Error {
  override readonly name = 'Answer';
  readonly code: number;
  readonly stream: 'stdout' | 'stderr';
  readonly fact: FactId;

  constructor(fact: FactId, code: number, text: string) {
    super(text);
    this.fact = fact;
    this.code = code;
    this.stream = code === 0 ? 'stdout' : 'stderr';
  }
}

/** A text of the wrapped program that the real one words otherwise, and the fact that says so. */
export interface Rewording {
  readonly fact: FactId;
  readonly from: RegExp;
  readonly to: string;
}

export function reworded(text: string, rewordings: readonly Rewording[]): string {
  return rewordings.reduce((said, { from, to }) => said.replaceAll(from, to), text);
}
