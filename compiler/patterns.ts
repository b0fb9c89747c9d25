import { globMatches } from '../model/glob.ts';
import { isSystemKeyspace } from '../model/system-keyspaces.ts';
import { type Problem, quoted, type Reading, refused } from './diagnostic.ts';

/** PostgreSQL and YugabyteDB cut longer identifiers (NAMEDATALEN - 1). */
const LONGEST_IDENTIFIER_BYTES = 63;

/** The server's own schemas, which a backup never carries. */
const SYSTEM_SCHEMAS = ['pg_catalog', 'information_schema', 'pg_toast'];

/** Reads a glob over `schema.table`, refusing one that no table can match. */
export function readTablePattern(text: string): Reading<string> {
  const general = readGlob(text);
  if (general !== undefined) return { problem: general };
  const dot = text.indexOf('.');
  if (dot === -1) {
    return nothing(
      text,
      'tables are matched as `schema.table`',
      `Write \`public.${text}\`, or \`*.${text}\` for every schema.`,
    );
  }
  const [schema, table] = [text.slice(0, dot), text.slice(dot + 1)];
  if (schema === '' || table === '') {
    return nothing(
      text,
      `its ${schema === '' ? 'schema' : 'table'} is empty`,
      'Write `schema.table`; `*` stands for any name.',
    );
  }
  const tooLong = [schema, table].find(isTooLong);
  if (tooLong !== undefined) return identifierTooLong(text);
  if (SYSTEM_SCHEMAS.includes(schema)) {
    return nothing(
      text,
      `schema ${quoted(schema)} belongs to the server and is never backed up`,
      'Remove the pattern.',
    );
  }
  return { value: text };
}

/** Reads a glob over database names, refusing one that no database can match. */
export function readDatabasePattern(text: string): Reading<string> {
  const general = readGlob(text);
  if (general !== undefined) return { problem: general };
  if (isTooLong(text)) return identifierTooLong(text);
  if (text === 'template0') {
    return nothing(text, 'the server lets nobody connect to that database', 'Remove the pattern.');
  }
  return { value: text };
}

/** Reads a glob over keyspaces, refusing one that no keyspace can match. */
export function readKeyspacePattern(text: string): Reading<string> {
  const general = readGlob(text);
  if (general !== undefined) return { problem: general };
  if (isSystemKeyspace(text)) return systemKeyspace(text, text);
  return { value: text };
}

/** Reads a glob over `keyspace.table`, refusing one that no table can match. */
export function readCqlTablePattern(text: string): Reading<string> {
  const general = readGlob(text);
  if (general !== undefined) return { problem: general };
  const dot = text.indexOf('.');
  const [keyspace, table] = [text.slice(0, dot), text.slice(dot + 1)];
  if (dot === -1 || keyspace === '' || table === '') {
    return nothing(
      text,
      'tables are matched as `keyspace.table`',
      `Write \`*.${table || '*'}\` for every keyspace.`,
    );
  }
  if (isSystemKeyspace(keyspace)) return systemKeyspace(text, keyspace);
  return { value: text };
}

function systemKeyspace(text: string, keyspace: string): { readonly problem: Problem } {
  return nothing(
    text,
    `keyspace ${quoted(keyspace)} belongs to the server and is never backed up`,
    'Remove the pattern.',
  );
}

/** Why an included pattern selects nothing, given the excluded ones. Undefined where it may select something. */
export function shadowed(include: string, exclude: readonly string[]): Problem | undefined {
  const cover = exclude.find((pattern) => covers(pattern, include));
  if (cover === undefined) return undefined;
  return refused(
    'PATTERN_MATCHES_NOTHING',
    `${quoted(include)} can match nothing: everything that it includes is excluded by ${quoted(cover)}`,
    'Remove one of the two, or make the excluded pattern narrower.',
  ).problem;
}

/**
 * Whether `outer` matches everything that `inner` matches. Tries the shortest name that `inner` matches, and one that is too long for a name.
 */
function covers(outer: string, inner: string): boolean {
  // No identifier contains NUL, so only a wildcard in the outer glob matches it. Only a star matches more of them than a name may have
  // characters.
  const fillings = ['', '\u0000'.repeat(2 * LONGEST_IDENTIFIER_BYTES)];
  return fillings.every((filling) =>
    globMatches(outer, inner.replaceAll('*', filling).replaceAll('?', '\u0000')),
  );
}

function readGlob(text: string): Problem | undefined {
  if (text === '') {
    return nothing(text, 'it is empty', 'Write a name or a glob such as `public.*`.').problem;
  }
  const control = /[\u0000-\u001f\u007f]/.exec(text);
  if (control !== null) {
    return refused(
      'BAD_PATTERN',
      `${quoted(text)} holds a control character`,
      'Write a name with `*` and `?` as wildcards.',
    ).problem;
  }
  if (text !== text.trim()) {
    return refused('BAD_PATTERN', `${quoted(text)} begins or ends with a space`, 'Remove the space.').problem;
  }
  return undefined;
}

function isTooLong(glob: string): boolean {
  return new TextEncoder().encode(glob.replaceAll('*', '')).length > LONGEST_IDENTIFIER_BYTES;
}

function identifierTooLong(text: string): { readonly problem: Problem } {
  return nothing(
    text,
    `no name is longer than ${LONGEST_IDENTIFIER_BYTES} bytes`,
    'Shorten it, or write `*` for a part of it.',
  );
}

function nothing(text: string, reason: string, remedy: string): { readonly problem: Problem } {
  return refused('PATTERN_MATCHES_NOTHING', `${quoted(text)} can match nothing: ${reason}`, remedy);
}
