import { nativeNames } from './cql-type.ts';
import { quoteName } from './identifiers.ts';
import type { ColumnSchema } from './schema.ts';

/*
 * YugabyteDB writes names into types and index targets without quotes (QLType::ToString in src/yb/common/ql_type.cc,
 * src/yb/master/yql_indexes_vtable.cc). CQL would read a bare name in lower case, so this file puts the quotes back.
 */

const PARAMETRISED = ['list', 'set', 'map', 'frozen'] as const;

/**
 * The text of a type with the names of user-defined types quoted. Tries longer names first, so that a name with a comma or a bracket in it is found
 * whole. Throws `SyntaxError` if the text is no type.
 */
export function withQuotedTypes(text: string, typeNames: readonly string[]): string {
  const known = [...typeNames].sort((one, other) => other.length - one.length);
  let at = 0;
  const fail = (): never => {
    throw new SyntaxError(`not a type of CQL: ${text}`);
  };
  const skipSpaces = () => {
    while (text[at] === ' ') at += 1;
  };
  const endsHere = (end: number) => end === text.length || text[end] === ',' || text[end] === '>';
  const type = (): string => {
    skipSpaces();
    const parametrised = PARAMETRISED.find((name) => text.startsWith(`${name}<`, at));
    if (parametrised !== undefined) {
      at += parametrised.length + 1;
      const parameters = [type()];
      while (text[at] === ',') {
        at += 1;
        parameters.push(type());
      }
      if (text[at] !== '>') fail();
      at += 1;
      return `${parametrised}<${parameters.join(', ')}>`;
    }
    const userType = known.find((name) => text.startsWith(name, at) && endsHere(at + name.length));
    const native = nativeNames.find((name) => text.startsWith(name, at) && endsHere(at + name.length));
    const name = userType ?? native ?? fail();
    at += name.length;
    return userType === undefined ? name : quoteName(name);
  };
  const quoted = type();
  return at === text.length ? quoted : fail();
}

/**
 * The target of an index, `(a, b), c`, with the names of columns quoted. Leaves what is no column as it is: an expression over JSONB, which
 * YugabyteDB returns as it was written.
 */
export function withQuotedColumns(target: string, columns: readonly ColumnSchema[]): string {
  const whole = /^\((.*?)\)(?:, (.*))?$/s.exec(target);
  const namesIn = (list: string) => splitNames(list, columns).map(quoteIfColumn(columns)).join(', ');
  if (columns.some(({ name }) => name === target)) return quoteName(target);
  if (whole === null) return namesIn(target);
  const [, partition = '', clustering] = whole;
  return clustering === undefined
    ? `(${namesIn(partition)})`
    : `(${namesIn(partition)}), ${namesIn(clustering)}`;
}

/** Splits a list of names at a comma and a space. A column's name that contains both is found whole. */
export function splitNames(list: string, columns: readonly ColumnSchema[]): readonly string[] {
  const known = columns.map(({ name }) => name).sort((one, other) => other.length - one.length);
  const names: string[] = [];
  for (let rest = list; rest !== ''; ) {
    const found = known.find((name) => rest === name || rest.startsWith(`${name}, `));
    const comma = rest.indexOf(', ');
    const name = found ?? (comma < 0 ? rest : rest.slice(0, comma));
    names.push(name);
    rest = rest.slice(name.length + 2);
  }
  return names;
}

function quoteIfColumn(columns: readonly ColumnSchema[]): (name: string) => string {
  return (name) => (columns.some((column) => column.name === name) ? quoteName(name) : name);
}
