import { permanent } from '../../../model/errors.ts';
import type { DumpEntry } from '../server/dump-script.ts';
import { quoteIdentifier } from '../server/identifiers.ts';
import type { Session } from '../server/session.ts';
import { type Statement, scriptParts, type Token } from '../server/sql-text.ts';
import { isStatementsOwn } from './forgiving.ts';
import type { DatabaseJob, RestoreJob } from './job.ts';

/*
 * Event triggers fire on a restore's own DDL too, and that goes on after the last object of the backup is made: large objects get their
 * owners, indexes are compared, the bookkeeping is dropped. A trigger that writes would change the copy behind the comparison, and one that
 * refuses would end the restore. So they are created switched off, in the transaction that creates them. They get the state that they
 * have in the backup in the transaction that drops the bookkeeping. Neither creating nor altering an event trigger fires one.
 */

/** True for an event trigger, and for its comment and label. */
export function isOfEventTrigger({ type, name }: Pick<DumpEntry, 'type' | 'name'>): boolean {
  return type === 'EVENT TRIGGER' || name.startsWith('EVENT TRIGGER ');
}

/** The entry of an event trigger so that what it creates is switched off; others as they are. Pure. */
export function switchedOff(entry: DumpEntry): DumpEntry {
  const name = triggerOf(entry);
  if (name === undefined) return entry;
  const statements = entry.statements.filter(({ tokens }) => stateIn(tokens) === undefined);
  return { ...entry, statements: [...statements, ...parsed(stateStatement(name, 'DISABLE'))] };
}

type State = 'ENABLE' | 'ENABLE ALWAYS' | 'ENABLE REPLICA' | 'DISABLE';

/** The states that the backup's event triggers have, by name. Pure. */
function eventTriggerStates(entries: readonly DumpEntry[]): ReadonlyMap<string, State> {
  const states = new Map<string, State>();
  for (const entry of entries) {
    const name = triggerOf(entry);
    if (name === undefined) continue;
    const last = entry.statements.flatMap(({ tokens }) => stateIn(tokens) ?? []).at(-1);
    states.set(name, last ?? 'ENABLE');
  }
  return states;
}

function triggerOf({ type, statements }: DumpEntry): string | undefined {
  const tokens = statements[0]?.tokens ?? [];
  return type === 'EVENT TRIGGER' && tokens[0]?.text === 'create' ? tokens[3]?.text : undefined;
}

/** The state that `ALTER EVENT TRIGGER name …` gives; undefined for other statements. */
function stateIn(tokens: readonly Token[]): State | undefined {
  const [alter, event, trigger, , first, second] = tokens.map(({ text }) => text);
  if (alter !== 'alter' || event !== 'event' || trigger !== 'trigger') return undefined;
  if (first === 'disable') return 'DISABLE';
  if (first !== 'enable') return undefined;
  if (second === 'always') return 'ENABLE ALWAYS';
  return second === 'replica' ? 'ENABLE REPLICA' : 'ENABLE';
}

function stateStatement(name: string, state: State): string {
  return `ALTER EVENT TRIGGER ${quoteIdentifier(name)} ${state};`;
}

function parsed(text: string): readonly Statement[] {
  return [...scriptParts(text)].flatMap((part) => (part.kind === 'statement' ? [part.statement] : []));
}

/**
 * Gives the event triggers that the restore created the state that they have in the backup. May be called again. Those that aren't
 * there were left out.
 */
export async function switchOn(
  { withSchema }: RestoreJob,
  { postData, selection }: DatabaseJob,
  session: Session,
): Promise<void> {
  if (!withSchema) return;
  const states = eventTriggerStates(postData.filter((entry) => selection.keeps(entry)));
  if (states.size === 0) return;
  const there = await session.query<{ name: string }>(
    'list the event triggers',
    `SELECT evtname::text AS name FROM pg_catalog.pg_event_trigger
     WHERE evtenabled = 'D' AND evtname::text = ANY ($1::text[]) ORDER BY evtname`,
    [[...states.keys()]],
  );
  for (const { name } of there) {
    const state = states.get(name);
    if (state === undefined || state === 'DISABLE') continue;
    await session.query(`switch on event trigger "${name}"`, stateStatement(name, state));
  }
}

const STATES: Readonly<Record<string, State>> = {
  O: 'ENABLE',
  R: 'ENABLE REPLICA',
  A: 'ENABLE ALWAYS',
};

/**
 * Does DDL of Holdfast's own in a database that may have event triggers of somebody else's: those that this role may switch off are off
 * meanwhile, for this transaction alone. In a transaction on PostgreSQL; on YugabyteDB, where other sessions would see them
 * switched off, they are left alone and fire.
 *
 * @throws HoldfastError `RESTORE_EVENT_TRIGGER` (permanent) where one that this role may not switch off may be what refuses the work
 */
export async function unseenByEventTriggers(session: Session, work: () => Promise<unknown>): Promise<void> {
  const active = await session.query<{ name: string; enabled: string; mine: boolean }>(
    'list the event triggers',
    `SELECT evtname::text AS name, evtenabled::text AS enabled, pg_catalog.pg_has_role(evtowner, 'USAGE') AS mine
     FROM pg_catalog.pg_event_trigger WHERE evtenabled <> 'D' ORDER BY evtname`,
  );
  const off = session.product === 'postgresql' ? active.filter(({ mine }) => mine) : [];
  for (const { name } of off) {
    await session.query(`switch off event trigger "${name}"`, stateStatement(name, 'DISABLE'));
  }
  try {
    await work();
  } catch (error) {
    const others = active.filter((trigger) => !off.includes(trigger)).map(({ name }) => `"${name}"`);
    if (others.length === 0 || !isStatementsOwn(session, error)) throw error;
    throw permanent(
      'RESTORE_EVENT_TRIGGER',
      `${error.message} (database "${session.database}" has event triggers that this role may not switch off: ${others.join(', ')})`,
      'Where one of them refuses it: let its owner run ALTER EVENT TRIGGER … DISABLE, or connect as superuser, and try again.',
      error.cause,
    );
  }
  for (const { name, enabled } of off) {
    await session.query(
      `switch on event trigger "${name}"`,
      stateStatement(name, STATES[enabled] ?? 'ENABLE'),
    );
  }
}
