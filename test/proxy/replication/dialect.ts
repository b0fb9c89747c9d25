import { replaceRanges, type Statement, statements, type Token } from '../sql.ts';

/** Relations in whose place the stand-in has functions of the same name (install.ts). */
const VIEWS: ReadonlySet<string> = new Set([
  'pg_replication_slots',
  'pg_publication',
  'pg_publication_tables',
]);
const FUNCTIONS: Readonly<Record<string, string>> = {
  pg_create_logical_replication_slot: 'yb_create_logical_replication_slot',
  pg_create_physical_replication_slot: 'yb_create_physical_replication_slot',
  pg_drop_replication_slot: 'yb_drop_replication_slot',
  pg_get_replication_slots: 'yb_get_replication_slots',
  pg_logical_slot_get_changes: 'yb_logical_slot_changes',
  pg_logical_slot_peek_changes: 'yb_logical_slot_changes',
  pg_logical_slot_get_binary_changes: 'yb_logical_slot_changes',
  pg_logical_slot_peek_binary_changes: 'yb_logical_slot_changes',
  pg_logical_emit_message: 'yb_logical_emit_message',
  pg_current_wal_lsn: 'yb_local_wal_lsn',
  pg_current_wal_insert_lsn: 'yb_local_wal_lsn',
  pg_current_wal_flush_lsn: 'yb_local_wal_lsn',
  txid_current: 'yb_no_xid',
  txid_current_if_assigned: 'yb_no_xid',
  pg_current_xact_id: 'yb_no_xid',
  pg_current_xact_id_if_assigned: 'yb_no_xid',
};

const WORDS = new RegExp(
  [...VIEWS, ...Object.keys(FUNCTIONS), 'relreplident', 'replica\\s+identity'].join('|'),
  'i',
);

/** Letters of `pg_class.relreplident`; CHANGE is YugabyteDB's own, and its default. */
const IDENTITIES: Readonly<Record<string, string>> = { change: 'c', default: 'd', full: 'f', nothing: 'n' };

type Edit = { readonly start: number; readonly end: number; readonly with: string };

/** A text that speaks of slots, publications or replica identities, as the upstream with the stand-in's functions understands it. */
export function translateReplication(sql: string): string {
  if (!WORDS.test(sql)) return sql;
  return statements(sql).map(translateStatement).join('; ');
}

function translateStatement({ sql, tokens }: Statement): string {
  const identity = identityClause(tokens);
  // The upstream logs whole rows, so that any identity can be played.
  if (identity !== undefined) {
    return replaceRanges(sql, [{ start: identity.token.start, end: identity.token.end, with: 'FULL' }]);
  }
  if (['create', 'comment', 'do'].includes(tokens[0]?.text ?? '')) return sql;
  return replaceRanges(
    sql,
    tokens.flatMap((_, at) => edit(tokens, at)),
  );
}

function edit(tokens: readonly Token[], at: number): readonly Edit[] {
  const token = tokens[at];
  const next = tokens[at + 1];
  if (token?.kind !== 'word') return [];
  const qualified = tokens[at - 1]?.text === '.' && tokens[at - 2]?.text === 'pg_catalog';
  const start = tokens[qualified ? at - 2 : at]?.start ?? token.start;
  if (VIEWS.has(token.text) && next?.text !== '.' && (qualified || tokens[at - 1]?.text !== '.')) {
    return [{ start, end: token.end, with: `pg_catalog.${token.text}()` }];
  }
  const named = FUNCTIONS[token.text];
  if (named !== undefined && next?.text === '(')
    return [{ start, end: token.end, with: `pg_catalog.${named}` }];
  if (token.text === 'relreplident' && tokens[at - 1]?.text !== 'as') {
    const alias = tokens[at - 1]?.text === '.' ? tokens[at - 2] : undefined;
    const prefix = alias === undefined ? '' : `${alias.text}.`;
    return [
      {
        start: alias?.start ?? token.start,
        end: token.end,
        with: `pg_catalog.relreplident(${prefix}oid, ${prefix}relreplident)`,
      },
    ];
  }
  return [];
}

/** The word of `ALTER TABLE … REPLICA IDENTITY word`. */
function identityClause(
  tokens: readonly Token[],
): { readonly token: Token; readonly letter: string } | undefined {
  if (tokens[0]?.text !== 'alter' || tokens[1]?.text !== 'table') return undefined;
  const at = tokens.findIndex(
    ({ text }, index) => text === 'replica' && tokens[index + 1]?.text === 'identity',
  );
  const token = tokens[at + 2];
  const letter = IDENTITIES[token?.text ?? ''];
  return at < 0 || token === undefined || letter === undefined ? undefined : { token, letter };
}

/** What the stand-in notes once a statement has succeeded. */
export function replicationNotes(statement: Statement): readonly string[] {
  const { sql, tokens } = statement;
  const notes: string[] = [];
  const identity = identityClause(tokens);
  if (identity !== undefined) {
    let at = 2;
    while (['only', 'if', 'exists'].includes(tokens[at]?.text ?? '')) at += 1;
    const isQualified = tokens[at + 1]?.text === '.';
    const name = sql.slice(tokens[at]?.start, tokens[isQualified ? at + 2 : at]?.end);
    notes.push(
      `SELECT pg_catalog.yb_note_replica_identity('${name.replaceAll("'", "''")}', '${identity.letter}')`,
    );
  }
  if (['create', 'do', 'call', 'alter'].includes(tokens[0]?.text ?? '') || isSelectInto(tokens)) {
    notes.push('SELECT pg_catalog.yb_log_whole_rows()');
  }
  return notes;
}

function isSelectInto(tokens: readonly Token[]): boolean {
  return tokens[0]?.text === 'select' && tokens.some(({ text, kind }) => kind === 'word' && text === 'into');
}
