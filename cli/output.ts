import { describeError, type ErrorDocument } from '../library/errors.ts';
import { UsageError } from '../model/errors.ts';

export { UsageError };

/** The contract of docs/scripting.md: results on stdout, everything else on stderr, and one JSON document with `--json`. */

export const EXIT = { done: 0, failed: 1, usage: 2, inconclusive: 3 } as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** Options that every command has. */
export interface CommonOptions {
  readonly json?: boolean;
}

/** One JSON document on stdout. */
export function emit(document: unknown): void {
  process.stdout.write(`${JSON.stringify(document, undefined, process.stdout.isTTY ? 2 : undefined)}\n`);
}

/** A line of a result for people, on stdout. */
export function print(line: string): void {
  process.stdout.write(`${harmless(line)}\n`);
}

/** A line about the progress of the command, on stderr. */
export function say(line: string): void {
  process.stderr.write(`${harmless(line)}\n`);
}

/**
 * Text without control characters: names, reasons and messages come from databases and repositories, and could otherwise move the cursor and write over what
 * was printed. Line breaks and tabs stay.
 */
function harmless(text: string): string {
  return text.replaceAll(
    /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/**
 * Runs a command's body. Its result is the exit code (0 if it returns nothing). Prints an error as a sentence on stderr, never as
 * a stack trace; with `--json` also as `{error}` on stdout.
 */
export async function runCommand(
  options: CommonOptions,
  body: () => Promise<ExitCode | undefined>,
): Promise<void> {
  try {
    process.exitCode = (await body()) ?? EXIT.done;
  } catch (error) {
    process.exitCode = error instanceof UsageError ? EXIT.usage : EXIT.failed;
    if (options.json) emit({ error: describeError(error) });
    // Always last on stderr, so that a log of stderr shows how the command ended.
    say(renderError(describeError(error)));
    if (process.env.HOLDFAST_DEBUG !== undefined && error instanceof Error) say(error.stack ?? '');
  }
}

/** The lines of an error for people. @param subject what failed; stands before the message: `plan orders: ` */
export function renderError({ message, remedy }: ErrorDocument, subject = ''): string {
  return remedy === undefined ? `error: ${subject}${message}` : `error: ${subject}${message}\n  → ${remedy}`;
}
