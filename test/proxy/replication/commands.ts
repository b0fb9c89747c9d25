import { identifier, literal, type Token, tokens } from '../sql.ts';
import { parseLsn } from './hybrid-time.ts';
import { Refusal } from './refusal.ts';
import type { LsnType, SnapshotAction } from './slot.ts';

/** A command of the replication protocol (yugabyte-db src/postgres/src/backend/replication/repl_gram.y). */
export type ReplicationCommand =
  | {
      readonly kind: 'create';
      readonly name: string;
      readonly temporary: boolean;
      readonly plugin: string;
      readonly snapshot: SnapshotAction;
      readonly lsnType: LsnType;
    }
  | { readonly kind: 'start'; readonly name: string; readonly from: bigint; readonly options: PluginOptions }
  | { readonly kind: 'drop'; readonly name: string; readonly wait: boolean }
  | { readonly kind: 'identify' }
  | { readonly kind: 'refused'; readonly refusal: Refusal };

export type PluginOptions = ReadonlyMap<string, string>;

const LOGICAL_ONLY = new Refusal('0A000', 'YSQL only supports logical replication slots');
const SYNTAX = (near: string | undefined) =>
  new Refusal('42601', near === undefined ? 'syntax error' : `syntax error at or near "${near}"`);

/** Undefined for a text that is SQL, which a walsender of a database runs too. */
export function replicationCommand(sql: string): ReplicationCommand | undefined {
  const found = tokens(sql).filter(({ text }) => text !== ';');
  const verb = found[0]?.text;
  if (verb === 'identify_system') return { kind: 'identify' };
  if (verb === 'create_replication_slot') return createCommand(found);
  if (verb === 'start_replication') return startCommand(found);
  if (verb === 'drop_replication_slot') {
    const name = identifier(found[1]);
    if (name === undefined) return refused(SYNTAX(found[1]?.text));
    return { kind: 'drop', name, wait: found[2]?.text === 'wait' };
  }
  if (['base_backup', 'timeline_history', 'read_replication_slot'].includes(verb ?? ''))
    return refused(LOGICAL_ONLY);
  return undefined;
}

function refused(refusal: Refusal): ReplicationCommand {
  return { kind: 'refused', refusal };
}

function createCommand(found: readonly Token[]): ReplicationCommand {
  const name = identifier(found[1]);
  if (name === undefined) return refused(SYNTAX(found[1]?.text));
  const temporary = found[2]?.text === 'temporary';
  const rest = found.slice(temporary ? 3 : 2);
  if (rest[0]?.text === 'physical') return refused(LOGICAL_ONLY);
  const plugin = identifier(rest[1]);
  if (rest[0]?.text !== 'logical' || plugin === undefined) return refused(SYNTAX(rest[0]?.text));
  // Exporting isn't supported, so the default is another than PostgreSQL's (walsender.c CreateReplicationSlot).
  let snapshot: SnapshotAction = 'use';
  let lsnType: LsnType = 'SEQUENCE';
  for (const [option, value] of slotOptions(rest.slice(2))) {
    const wanted = value?.toLowerCase();
    if (option === 'export_snapshot' || (option === 'snapshot' && wanted === 'export')) snapshot = 'export';
    else if (option === 'noexport_snapshot' || (option === 'snapshot' && wanted === 'nothing'))
      snapshot = 'none';
    else if (option === 'use_snapshot' || (option === 'snapshot' && wanted === 'use')) snapshot = 'use';
    else if (option === 'hybrid_time' || (option === 'lsn_type' && value === 'HYBRID_TIME'))
      lsnType = 'HYBRID_TIME';
    else if (option === 'sequence' || (option === 'lsn_type' && value === 'SEQUENCE')) lsnType = 'SEQUENCE';
    else return refused(SYNTAX(option));
  }
  return { kind: 'create', name, temporary, plugin, snapshot, lsnType };
}

/** `USE_SNAPSHOT HYBRID_TIME`, or the newer `(SNAPSHOT 'use', LSN_TYPE 'HYBRID_TIME')`. */
function slotOptions(found: readonly Token[]): readonly (readonly [option: string, value?: string])[] {
  if (found[0]?.text !== '(') return found.map(({ text }) => [text]);
  const options: [string, string?][] = [];
  for (const token of found.slice(1)) {
    const value = literal(token);
    const last = options.at(-1);
    if (value !== undefined && last !== undefined) last[1] = value;
    else if (token.kind === 'word' || token.kind === 'quoted') options.push([identifier(token) ?? '']);
  }
  return options;
}

function startCommand(found: readonly Token[]): ReplicationCommand {
  const name = identifier(found[2]);
  if (found[1]?.text !== 'slot' || name === undefined || found[3]?.text !== 'logical')
    return refused(LOGICAL_ONLY);
  const open = found.findIndex(({ text }) => text === '(');
  const position = found
    .slice(4, open < 0 ? undefined : open)
    .map(({ text }) => text)
    .join('');
  const from = parseLsn(position);
  if (from === undefined) return refused(SYNTAX(position));
  const options = new Map<string, string>();
  let option: string | undefined;
  for (const token of open < 0 ? [] : found.slice(open + 1)) {
    if (token.kind === 'word' || token.kind === 'quoted') option = identifier(token);
    const value = literal(token);
    if (option !== undefined && value !== undefined) options.set(option, value);
  }
  return { kind: 'start', name, from, options };
}
