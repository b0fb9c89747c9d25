import type { Span } from './source-text.ts';

/** Codes for all kinds of errors in a plan file. They are stable, so that scripts can rely on them. */
export const DIAGNOSTIC_CODES = [
  'FILE_NOT_FOUND',
  'FILE_IS_DIRECTORY',
  'FILE_UNREADABLE',
  'FILE_NOT_UTF8',
  'FILE_TOO_LARGE',
  'FILE_EMPTY',
  'NOT_YAML',
  'TAB_INDENT',
  'DUPLICATE_KEY',
  'TOO_COMPLEX',
  'ALIAS_BOMB',
  'BAD_ALIAS',
  'BAD_TAG',
  'UNKNOWN_KIND',
  'UNKNOWN_VERSION',
  'UNKNOWN_KEY',
  'MISPLACED_KEY',
  'MISSING_KEY',
  'WRONG_TYPE',
  'WRONG_VALUE',
  'OUT_OF_RANGE',
  'NOT_EXACTLY_ONE',
  'CONSISTENCY_NOT_SAID',
  'BAD_DURATION',
  'BAD_SIZE',
  'BAD_CRON',
  'BAD_TIMEZONE',
  'BAD_WINDOW',
  'BAD_NAME',
  'BAD_PATTERN',
  'BAD_PATH',
  'BAD_URL',
  'BAD_RECIPIENT',
  'BAD_PUBLIC_KEY',
  'PATTERN_MATCHES_NOTHING',
  'SECRET_IN_PLAIN_TEXT',
  'DUPLICATE_NAME',
  'UNKNOWN_REPOSITORY',
  'BROKEN_REPOSITORY',
  'UNKNOWN_TEMPLATE',
  'BROKEN_TEMPLATE',
  'TEMPLATE_IN_TEMPLATE',
  'UNKNOWN_PARAMETER',
  'MISSING_PARAMETER',
  'COPY_TO_ITSELF',
  'COPY_IN_THE_CLEAR',
  'DUPLICATE_STEP',
  'UNKNOWN_STEP',
  'NEEDS_CYCLE',
  'NEVER_RUNS',
  'STEP_ORDER',
  'MISSING_INPUT',
  'NO_BACKUP',
] as const;

export type DiagnosticCode = (typeof DIAGNOSTIC_CODES)[number];

/** One error in one file: where it is, what is wrong, what to write. It never contains the value of a secret. */
export interface Diagnostic {
  readonly code: DiagnosticCode;
  readonly file: string;
  /** 1-based. */
  readonly line: number;
  /** 1-based, in UTF-16 code units as editors count. */
  readonly column: number;
  readonly endLine: number;
  /** 1-based, exclusive. */
  readonly endColumn: number;
  readonly message: string;
  /** What to write instead, one sentence. */
  readonly remedy: string;
}

/** What is wrong with a value whose place in the file is not known yet. */
export interface Problem {
  readonly code: DiagnosticCode;
  readonly message: string;
  readonly remedy: string;
  /** The wrong part, as offsets into the value's text. Absent: the whole value. */
  readonly part?: Span;
}

/** A problem and where it stands in its file. */
export interface LocatedProblem {
  readonly problem: Problem;
  readonly span: Span;
}

/** The result of reading a value's text: the value, or what is wrong with it. */
export type Reading<T> = { readonly value: T } | { readonly problem: Problem };

/** A reading that failed. */
export function refused(
  code: DiagnosticCode,
  message: string,
  remedy: string,
  part?: Span,
): { readonly problem: Problem } {
  return { problem: part === undefined ? { code, message, remedy } : { code, message, remedy, part } };
}

const LONGEST_QUOTE = 60;

/** User text for a message: in backquotes, without control characters, cut to a readable length. */
export function quoted(text: string): string {
  const visible = withoutControls(text);
  const shown = visible.length > LONGEST_QUOTE ? `${visible.slice(0, LONGEST_QUOTE)}\u2026` : visible;
  return `\`${shown}\``;
}

/** The text with a dot for every character that a terminal would obey or a reader can't see. Its length stays the same. */
export function withoutControls(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, (found) => '\u00b7'.repeat(found.length));
}
