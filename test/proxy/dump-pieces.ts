import { identifier, type Token, tokens } from './sql.ts';

export interface PieceStatement {
  /** Without its semicolon. */
  readonly sql: string;
  /** Offsets in `sql`. */
  readonly tokens: readonly Token[];
}

/** One object of a script of pg_dump. */
export interface Piece {
  readonly type: string;
  readonly schema: string;
  readonly name: string;
  readonly owner: string;
  /** The header comment with its empty line. */
  readonly header: string;
  /** Settings before the header, such as `SET default_tablespace = …`. */
  readonly settings: readonly string[];
  readonly statements: readonly PieceStatement[];
  readonly section: 'pre-data' | 'data' | 'post-data';
}

const HEADER =
  /--\n-- (?:Data for )?Name: (?<name>.*); Type: (?<type>[A-Z ]+); Schema: (?<schema>.*); Owner: (?<owner>.*)\n--\n\n/g;

const POST_DATA =
  /^(?:INDEX|CONSTRAINT|FK CONSTRAINT|CHECK CONSTRAINT|TRIGGER|EVENT TRIGGER|RULE|POLICY|ROW SECURITY|PUBLICATION.*|SUBSCRIPTION.*|STATISTICS|INDEX ATTACH|MATERIALIZED VIEW DATA|DEFAULT ACL)$/;

interface Found {
  readonly start: number;
  readonly end: number;
  readonly tokens: readonly Token[];
}

/**
 * Cuts a script of pg_dump into its objects, the text before the first and the text after the last. COPY data stays with the piece
 * before it. Independent of the code under test.
 */
export function pieces(script: string): {
  readonly head: string;
  readonly pieces: readonly Piece[];
  readonly tail: string;
} {
  const plain = withoutRestriction(script);
  const found: Draft[] = [];
  let at = 0;
  let head: string | undefined;
  let settings: string[] = [];
  for (const { start, end, tokens: words } of ranges(plain)) {
    const gap = plain.slice(at, start);
    const header = [...gap.matchAll(HEADER)].at(-1);
    if (header !== undefined) {
      head ??= plain.slice(0, at) + gap.slice(0, header.index);
      found.push({ header, settings, statements: [] });
      settings = [];
    }
    const sql = plain.slice(start, end);
    const isSetting = /^SET (?:default_tablespace|default_table_access_method) = /.test(sql);
    const piece = found.at(-1);
    if (isSetting) settings.push(sql);
    else if (piece === undefined) settings = [];
    else piece.statements.push({ sql: withCommands(gap, header) + sql, tokens: words });
    at = end + 1;
  }
  return {
    head: head ?? plain,
    pieces: sectioned(found),
    tail: plain.slice(at),
  };
}

/** Removes the program's own `\restrict` lines and nothing else: a name may look like one. */
function withoutRestriction(script: string): string {
  const [, key] = /^(?:--.*\n|\n)*\\restrict (\w+)\n/.exec(script) ?? [];
  if (key === undefined) return script;
  return script
    .replace(`\\restrict ${key}\n`, '')
    .replaceAll(`\n\\restrict ${key}\n`, '\n')
    .replaceAll(`\n\\unrestrict ${key}\n`, '\n');
}

/** Returns the kind of a statement's object. A hostile name may have made the header say something else. */
function typeOf(
  { tokens: [first, second, third, fourth, , , seventh] }: PieceStatement,
  header: string,
): string | undefined {
  const [one, two] = [first?.text, second?.text];
  if (one === 'comment') return 'COMMENT';
  if (one === 'grant' || one === 'revoke') return 'ACL';
  if (one === 'create' && (two === 'table' || third?.text === 'table')) return 'TABLE';
  if (one === 'create' && (two === 'index' || third?.text === 'index')) return 'INDEX';
  if (one === 'create') return createdKind(two === 'or' ? fourth?.text : two, header);
  if (one === 'alter' && seventh?.text === 'attach') return two === 'index' ? 'INDEX ATTACH' : 'TABLE ATTACH';
  return undefined;
}

/** Returns the header's type when it agrees with CREATE, else the word after CREATE. */
function createdKind(word = '', header: string): string {
  const kind = word.toUpperCase();
  return header.startsWith(kind) ? header : kind;
}

interface Draft {
  readonly header: RegExpMatchArray;
  readonly settings: readonly string[];
  readonly statements: PieceStatement[];
}

/** `\connect` goes with the statement after it. */
function withCommands(gap: string, header: RegExpMatchArray | undefined): string {
  const own = header === undefined ? gap : gap.slice((header.index ?? 0) + header[0].length);
  const command = /^\\.*\n/m.exec(own)?.[0];
  return command === undefined ? '' : `${command}\n`;
}

/** Returns schema and name. A table's come from its statement, since a header with hostile names can be read in several ways. */
function namesOf(
  kind: string,
  [first]: readonly PieceStatement[],
  fromHeader: { readonly schema: string; readonly name: string },
): { readonly schema: string; readonly name: string } {
  const table = first?.tokens.findIndex(({ text }) => text === 'table') ?? -1;
  if (kind !== 'TABLE' || table < 0) return fromHeader;
  const flat = (at: number) => (identifier(first?.tokens[at]) ?? '').replaceAll(/[\r\n]/g, ' ');
  return { schema: flat(table + 1), name: flat(table + 3) };
}

/** Assigns sections by pg_dump's order: everything from the first post-data piece on is post-data. */
function sectioned(found: readonly Draft[]): readonly Piece[] {
  let section: Piece['section'] = 'pre-data';
  return found.map(({ header, settings, statements }) => {
    const { name = '', type = '', schema = '', owner = '' } = header.groups ?? {};
    const [first] = statements;
    const kind = (first === undefined ? undefined : typeOf(first, type)) ?? type;
    if (POST_DATA.test(kind)) section = 'post-data';
    const isData = /^(?:TABLE DATA|SEQUENCE SET)$/.test(type);
    return {
      ...{
        type: kind,
        ...namesOf(kind, statements, { schema, name }),
        owner: owner.split('; Tablespace: ')[0] ?? '',
        header: header[0],
      },
      ...{ settings, statements, section: isData ? 'data' : section },
    };
  });
}

/** Where each statement begins and ends (at its semicolon). */
function ranges(script: string): readonly Found[] {
  const found: Found[] = [];
  let current: Token[] = [];
  let depth = 0;
  let atomic = false;
  let skipTo = 0;
  for (const token of tokens(script)) {
    if (token.start < skipTo) continue;
    if (current.length === 0 && token.text === '\\') {
      skipTo = script.indexOf('\n', token.start);
      continue;
    }
    if (token.text === '(') depth += 1;
    if (token.text === ')') depth -= 1;
    if (token.text === 'atomic' && current.at(-1)?.text === 'begin') atomic = true;
    if (token.kind === 'symbol' && token.text === ';' && depth === 0) {
      if (atomic && current.at(-1)?.text === 'end') atomic = false;
      const start = current[0]?.start;
      if (!atomic && start !== undefined) {
        const words = current.map((word) => ({ ...word, start: word.start - start, end: word.end - start }));
        found.push({ start, end: token.start, tokens: words });
        current = [];
        continue;
      }
    }
    current.push(token);
  }
  return found;
}

/** Compares a name with one in a header, which has spaces for line breaks. */
export function sameName(name: string, inHeader: string): boolean {
  return name.replaceAll(/[\r\n]/g, ' ') === inHeader;
}
