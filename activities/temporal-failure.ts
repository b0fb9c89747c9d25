import { ApplicationFailure } from '@temporalio/activity';
import { type FailureDetails, HoldfastError, messageOf } from '../model/errors.ts';
import { sha256Hex } from '../repository/sha256.ts';

/** An error without a type may be a mistake in Holdfast, so it is retried a few times only, not for a day. */
const UNTYPED_ATTEMPTS = 5;

/**
 * Temporal keeps at most 4 KiB of an activity's failure, and replaces a larger one by "Failure exceeds size limit". Message and details
 * together stay below this limit. The rest (code, names) is small, since stack and cause are left out.
 */
const MAX_BYTES = 3_000;

/** How much of the stack is kept of an error without a type: enough to find its line. */
const STACK_BYTES = 600;

/** The failure of the last attempt, and how often it has come in a row. The activity's heartbeat carries it. */
interface LastFailure {
  readonly said: string;
  readonly times: number;
}

interface FailureOfAttempt {
  readonly failure: ApplicationFailure;
  /** What the next attempt must know. Undefined for an error whose repetitions don't count. */
  readonly last: LastFailure | undefined;
}

/**
 * Turns an error into a typed Temporal failure. Its type is the error's code, its message ends with the remedy, and it is retried only
 * when that can help. Message and remedy are shortened where they are too long for Temporal. The stack of a typed error and all causes
 * are left out, since they may hold what the message withholds.
 */
export function asFailure(
  error: unknown,
  attempt: number,
  before: LastFailure | undefined,
): FailureOfAttempt {
  if (!(error instanceof HoldfastError)) {
    const message = cut(printable(messageOf(error)), MAX_BYTES / 2);
    const failure = ApplicationFailure.create({
      type: 'UNEXPECTED',
      message,
      nonRetryable: attempt >= UNTYPED_ATTEMPTS,
    });
    failure.stack = error instanceof Error ? framesOf(error) : '';
    return { failure, last: undefined };
  }
  const last = repeated(error, before);
  const givesUp = last !== undefined && last.times >= (error.maxEqual ?? Number.POSITIVE_INFINITY);
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
  if (error.maxEqual === undefined) return undefined;
  const said = sha256Hex(Buffer.from(`${error.code} ${error.message}`)).slice(0, 16);
  return { said, times: before?.said === said ? before.times + 1 : 1 };
}

/** Problem and remedy, shortened to what Temporal keeps. A failure holds both twice, in its message and in its details. */
function fitted(problem: string, remedy: string): FailureDetails {
  const said = printable(problem);
  const advice = cut(printable(remedy), MAX_BYTES / 6);
  const sizeOf = (text: string) => 2 * Buffer.byteLength(JSON.stringify({ text, advice }));
  let bytes = MAX_BYTES / 2;
  let kept = cut(said, bytes);
  while (sizeOf(kept) > MAX_BYTES && bytes > 100) {
    bytes = Math.floor(bytes * 0.8);
    kept = cut(said, bytes);
  }
  return { problem: kept, remedy: advice };
}

/** Shortens a text to at most `bytes` bytes: keeps the beginning (what happened) and the end (what the server said last). */
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

/** Replaces control characters by spaces: in JSON each would take six bytes, and no reader could see it. */
function printable(text: string): string {
  return text.replaceAll(/[^\P{Cc}\n]/gu, ' ');
}

/** The stack without the message, since the failure already has that. */
function framesOf(error: Error): string {
  const frames = (error.stack ?? '').split('\n').filter((line) => /^\s+at /.test(line));
  return cut(frames.join('\n'), STACK_BYTES);
}

/** Reads the last attempt's failure from its heartbeat. */
export function lastFailureIn(heartbeat: unknown): LastFailure | undefined {
  if (typeof heartbeat !== 'object' || heartbeat === null || !('lastFailure' in heartbeat)) return undefined;
  const { lastFailure } = heartbeat;
  if (typeof lastFailure !== 'object' || lastFailure === null) return undefined;
  if (!('said' in lastFailure) || !('times' in lastFailure)) return undefined;
  const { said, times } = lastFailure;
  return typeof said === 'string' && typeof times === 'number' ? { said, times } : undefined;
}
