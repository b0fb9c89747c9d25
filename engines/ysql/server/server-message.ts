import type pg from 'pg';

/**
 * Returns what may be reported of a server's error: its text, its code, the objects involved and where it arose, but no value of a row.
 * The result goes into history, logs, webhooks and stdout.
 *
 * PostgreSQL puts values into the text of class 22 (`invalid input syntax for type integer: "…"`), into the detail of class 23
 * (`Failing row contains (…)`, `Key (…)=(…)`) and into the context (`COPY t, line 1: "…"`). A function may raise any text.
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

/** Returns the server's whole error on one line, values included. */
export function fullWords(error: pg.DatabaseError): string {
  const { message, code, detail, hint, where } = error;
  return JSON.stringify({ message, code, detail, hint, where });
}

/**
 * Returns what may be reported of the stderr of a server's program (ysql_dump, ysqlsh, pg_dump). Removes the lines of detail and context,
 * which can hold rows, and the values in the other lines.
 */
export function tellableOutput(said: string): string {
  return said
    .split('\n')
    .filter((line) => !/^(?:\S+ )?(?:DETAIL|CONTEXT|QUERY|STATEMENT):/.test(line))
    .map((line) => (MAY_HOLD_VALUES.test(line) ? withheld(line) : line))
    .join('\n');
}

/** Texts that quote a value, for output that comes without SQLSTATEs. */
const MAY_HOLD_VALUES =
  /invalid (?:input|value|byte)|out of range|malformed|value too long|Failing row|Key \(|COPY \S+, line/;

/** True when a user's code raised the error. PL/pgSQL names RAISE in the context; functions in other procedural languages can raise any text. */
function isRaisedByUser({ code, where }: pg.DatabaseError): boolean {
  if (code?.startsWith('P0') || code?.startsWith('38')) return true;
  return where !== undefined && /\bat RAISE$|\bPL\/(?!pgSQL)\w+ |^unnamed PL/m.test(where);
}

/** Classes of SQLSTATE whose texts can quote rows: data exceptions, constraints, WITH CHECK OPTION, cardinality. */
const OF_ROWS: ReadonlySet<string> = new Set(['21', '22', '23', '44']);

function withoutValues(message: string, code: string | undefined): string {
  return OF_ROWS.has(code?.slice(0, 2) ?? '') ? withheld(message) : message;
}

/** Quoted text after one of these words is an object's name, which may be reported. */
const NAME =
  /^(?:type|column|relation|encoding|constraint|table|domain|function|index|schema|view|sequence|partition) $/;

/**
 * Withholds everything from the first quoted text that is not a name to the last quote in the message. A value may contain quotes
 * itself, so no text between them is safe.
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

/** Returns the line of a COPY and the innermost function. The text after the colon is the row itself and is left out. */
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

/** Details of these classes and codes name objects, sessions and limits. XX002 (index corrupted) is not among them: it quotes the key of a row. */
const HARMLESS = /^(?:0A|08|25|26|28|2B|3D|3F|40|42|53|55|57|58|F0|XX000)/;

function isDetailHarmless({ code, detail }: pg.DatabaseError): boolean {
  return HARMLESS.test(code ?? '') && !/Key \(|row contains|\)=\(|ybctid|ybbasectid/i.test(detail ?? '');
}
