import { nativeNames } from './cql-type.ts';
import { quoteName } from './identifiers.ts';
import type { ColumnSchema } from './schema.ts';

/*
 * YugabyteDB writes names into types and index targets as they are, without quotes (QLType::ToString in src/yb/common/ql_type.cc,
 * src/yb/master/yql_indexes_vtable.cc). CQL takes a bare name for its lower case, so each is given its quotes again here.
 */

const PARAMETRISED = ['list', 'set', 'map', 'frozen'] as const;

/**
 * The text of a type with the names of user-defined types quoted. Longer names are tried first, so that one that holds a comma or
 * a bracket is found as a whole. Throws `SyntaxError` where the text is no type.
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
 * The target of an index, `(a, b), c`, with the names of columns quoted. What is no column stays as it is: an expression over JSONB,
 * which YugabyteDB gives as it was written.
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

/** Names that are listed with a comma and a space between them; one that holds both is found as a whole. */
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
