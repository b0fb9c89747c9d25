import type pg from 'pg';

/**
 * What may be reported of a server's error: its text, its code, the objects that it is about and where it arose, but no value of a row.
 * The result goes into history, logs, webhooks and stdout.
 *
 * PostgreSQL puts values into the text of class 22 (`invalid input syntax for type integer: "…"`), into the detail of class 23
 * (`Failing row contains (…)`, `Key (…)=(…)`) and into the context (`COPY t, line 1: "…"`); a function may raise whatever it likes.
 */
export function tellable(error: pg.DatabaseError): string {
  const raised = isRaisedByUser(error);
  const text = raised
    ? 'a function raised an error (its text is withheld, since it may hold values of rows)'
    : withoutValues(error.message, error.code);
  const about = [`SQLSTATE ${error.code}`, ...objectsOf(error), ...placeOf(error.where)];
  const detail = raised || !isDetailHarmless(error) ? undefined : error.detail;
  const parts = [`${text} (${about.join('; ')})`, detail, raised ? undefined : error.hint];
  return parts.filter((part) => part !== undefined && part !== '').join('. ');
}

/** Everything that the server said, values included, on one line. */
export function fullWords(error: pg.DatabaseError): string {
  const { message, code, detail, hint, where } = error;
  return JSON.stringify({ message, code, detail, hint, where });
}

/**
 * What may be reported of what one of the server's programs (ysql_dump, ysqlsh, pg_dump) wrote to stderr: without the lines of detail and
 * context that can hold rows, and without values in those that stay.
 */
export function tellableOutput(said: string): string {
  return said
    .split('\n')
    .filter((line) => !/^(?:\S+ )?(?:DETAIL|CONTEXT|QUERY|STATEMENT):/.test(line))
    .map((line) => (MAY_HOLD_VALUES.test(line) ? withheld(line) : line))
    .join('\n');
}

/** Texts of class 22 that quote a value, as far as their code isn't at hand. */
const MAY_HOLD_VALUES =
  /invalid (?:input|value|byte)|out of range|malformed|value too long|Failing row|Key \(|COPY \S+, line/;

/** PL/pgSQL names RAISE in the context; functions of other procedural languages may make any text an error. */
function isRaisedByUser({ code, where }: pg.DatabaseError): boolean {
  if (code?.startsWith('P0') || code?.startsWith('38')) return true;
  return where !== undefined && /\bat RAISE$|\bPL\/(?!pgSQL)\w+ |^unnamed PL/m.test(where);
}

/** Classes of SQLSTATE whose texts speak of rows: data exceptions, constraints, WITH CHECK OPTION, cardinality. */
const OF_ROWS: ReadonlySet<string> = new Set(['21', '22', '23', '44']);

function withoutValues(message: string, code: string | undefined): string {
  return OF_ROWS.has(code?.slice(0, 2) ?? '') ? withheld(message) : message;
}

/** Names of objects stay, since the word before them says what they are. */
const NAME =
  /^(?:type|column|relation|encoding|constraint|table|domain|function|index|schema|view|sequence|partition) $/;

/**
 * From the first quoted text that is no name to the last quote in the message: a value may hold quotes itself, so nothing between is
 * trusted.
 */
function withheld(message: string): string {
  const bytes = message.replaceAll(/0x[0-9a-f]{2}(?: 0x[0-9a-f]{2})*/gi, '0x…');
  for (const { index } of bytes.matchAll(/"/g)) {
    const before = bytes.slice(0, index);
    if ((before.split('"').length - 1) % 2 !== 0) continue;
    const word = /[a-z]+ $/.exec(before)?.[0] ?? '';
    if (NAME.test(word)) continue;
    return `${before}"…"${bytes.slice(bytes.lastIndexOf('"') + 1)}`;
  }
  return bytes;
}

function objectsOf({ schema, table, column, constraint, dataType }: pg.DatabaseError): readonly string[] {
  const qualified = (name: string) => (schema === undefined ? name : `${schema}.${name}`);
  return [
    ...(table === undefined ? [] : [`table ${qualified(table)}`]),
    ...(column === undefined ? [] : [`column ${column}`]),
    ...(constraint === undefined ? [] : [`constraint ${constraint}`]),
    ...(dataType === undefined ? [] : [`type ${qualified(dataType)}`]),
  ];
}

/** The line of a COPY and the innermost function; what stands behind the colon is the row itself. */
function placeOf(where: string | undefined): readonly string[] {
  if (where === undefined) return [];
  const copy = /^COPY [^\n:]*?, line \d+(?:, column [^\n:]+)?/m.exec(where)?.[0];
  const called =
    /^(?:PL\/pgSQL|SQL) function (.+?)(?: line \d+.*| statement \d+| during \w+| while .*)?$/m.exec(
      where,
    )?.[1];
  return [
    ...(copy === undefined ? [] : [copy]),
    ...(called === undefined ? [] : [`in function ${called.slice(0, 120)}`]),
  ];
}

/** Details of these classes and codes speak of objects, sessions and limits. XX002 (index corrupted) holds the key of a row. */
const HARMLESS = /^(?:0A|08|25|26|28|2B|3D|3F|40|42|53|55|57|58|F0|XX000)/;

function isDetailHarmless({ code, detail }: pg.DatabaseError): boolean {
  return HARMLESS.test(code ?? '') && !/Key \(|row contains|\)=\(|ybctid|ybbasectid/i.test(detail ?? '');
}
