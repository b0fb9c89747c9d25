import { ApplicationFailure } from '@temporalio/activity';
import { type FailureDetails, HoldfastError, messageOf } from '../model/errors.ts';
import { sha256Hex } from '../repository/sha256.ts';

/** A failure that no edge has typed may be a mistake of ours: a few tries, not a day of them. */
const UNTYPED_ATTEMPTS = 5;

/**
 * Temporal keeps at most 4 KiB of an activity's failure, and says "Failure exceeds size limit" instead of a larger one. Message and
 * details together stay below this; what else there is (code, names) is small, since stack and cause are left out.
 */
const MOST_BYTES = 3_000;

/** Where an error that no edge has typed came from: enough to find the line. */
const STACK_BYTES = 600;

/** What the attempt before this one failed with, and how often in a row. Kept in the activity's heartbeat. */
export interface LastFailure {
  readonly said: string;
  readonly times: number;
}

export interface FailureOfAttempt {
  readonly failure: ApplicationFailure;
  /** For the next attempt; undefined where repeating doesn't count. */
  readonly last: LastFailure | undefined;
}

/**
 * A typed Temporal failure: the code as its type, the remedy in the message, retried only when that can help. Message and remedy are
 * cut where they are too long for Temporal; the stack of a typed error and every cause stay here, since they may hold what the message
 * withholds.
 */
export function asFailure(
  error: unknown,
  attempt: number,
  before: LastFailure | undefined,
): FailureOfAttempt {
  if (!(error instanceof HoldfastError)) {
    const message = cut(printable(messageOf(error)), MOST_BYTES / 2);
    const failure = ApplicationFailure.create({
      type: 'UNEXPECTED',
      message,
      nonRetryable: attempt >= UNTYPED_ATTEMPTS,
    });
    failure.stack = error instanceof Error ? framesOf(error) : '';
    return { failure, last: undefined };
  }
  const last = repeated(error, before);
  const givesUp = last !== undefined && last.times >= (error.mostEqual ?? Number.POSITIVE_INFINITY);
  const again = givesUp ? ` (${last.times} times in a row)` : '';
  const { problem, remedy } = fitted(`${error.message.replace(/\.$/, '')}${again}`, error.remedy);
  const details: FailureDetails = { problem, remedy };
  const failure = ApplicationFailure.create({
    type: error.code,
    message: `${problem}. ${remedy}`,
    nonRetryable: givesUp || !error.transient,
    details: [details],
  });
  failure.stack = '';
  return { failure, last };
}

function repeated(error: HoldfastError, before: LastFailure | undefined): LastFailure | undefined {
  if (error.mostEqual === undefined) return undefined;
  const said = sha256Hex(Buffer.from(`${error.code} ${error.message}`)).slice(0, 16);
  return { said, times: before?.said === said ? before.times + 1 : 1 };
}

/** Problem and remedy as Temporal can keep them: both stand twice in a failure, as its message and in its details. */
function fitted(problem: string, remedy: string): FailureDetails {
  const said = printable(problem);
  const advice = cut(printable(remedy), MOST_BYTES / 6);
  const sizeOf = (text: string) => 2 * Buffer.byteLength(JSON.stringify({ text, advice }));
  let bytes = MOST_BYTES / 2;
  let kept = cut(said, bytes);
  while (sizeOf(kept) > MOST_BYTES && bytes > 100) {
    bytes = Math.floor(bytes * 0.8);
    kept = cut(said, bytes);
  }
  return { problem: kept, remedy: advice };
}

/** Beginning and end of a text that is longer than so many bytes: what happened, and what the server said last. */
function cut(text: string, bytes: number): string {
  if (Buffer.byteLength(text) <= bytes) return text;
  const characters = [...text];
  const room = bytes - 5;
  const head = take(characters, Math.floor((room * 2) / 3));
  const tail = take(characters.toReversed(), Math.floor(room / 3));
  return `${head.join('')} … ${tail.toReversed().join('')}`;
}

function take(characters: readonly string[], bytes: number): readonly string[] {
  let size = 0;
  let count = 0;
  for (const character of characters) {
    size += Buffer.byteLength(character);
    if (size > bytes) break;
    count += 1;
  }
  return characters.slice(0, count);
}

/** Control characters would each take six bytes of JSON, and mean nothing to whoever reads. */
function printable(text: string): string {
  return text.replaceAll(/[^\P{Cc}\n]/gu, ' ');
}

/** Without the message, which stands in the failure already. */
function framesOf(error: Error): string {
  const frames = (error.stack ?? '').split('\n').filter((line) => /^\s+at /.test(line));
  return cut(frames.join('\n'), STACK_BYTES);
}

/** What the heartbeat of the attempt before says. */
export function lastFailureIn(heartbeat: unknown): LastFailure | undefined {
  if (typeof heartbeat !== 'object' || heartbeat === null || !('lastFailure' in heartbeat)) return undefined;
  const { lastFailure } = heartbeat;
  if (typeof lastFailure !== 'object' || lastFailure === null) return undefined;
  if (!('said' in lastFailure) || !('times' in lastFailure)) return undefined;
  const { said, times } = lastFailure;
  return typeof said === 'string' && typeof times === 'number' ? { said, times } : undefined;
}
