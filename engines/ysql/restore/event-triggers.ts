import { permanent } from '../../../model/errors.ts';
import type { DumpEntry } from '../server/dump-script.ts';
import { quoteIdentifier } from '../server/identifiers.ts';
import type { Session } from '../server/session.ts';
import { type Statement, scriptParts, type Token } from '../server/sql-text.ts';
import { isStatementsOwn } from './forgiving.ts';
import type { DatabaseJob, RestoreJob } from './job.ts';

/*
 * Event triggers fire on the restore's own DDL, which continues after the last object of the backup is created: large objects get their
 * owners, indexes are compared, the bookkeeping is dropped. A trigger that writes would change the copy after the comparison, and one that
 * refuses DDL would fail the restore. So the transaction that creates event triggers also switches them off. The transaction that drops the
 * bookkeeping gives them their state from the backup. Creating or altering an event trigger fires no event trigger.
 */

/** True for an event trigger, and for its comment and label. */
export function isOfEventTrigger({ type, name }: Pick<DumpEntry, 'type' | 'name'>): boolean {
  return type === 'EVENT TRIGGER' || name.startsWith('EVENT TRIGGER ');
}

/** Changes the entry of an event trigger so that the trigger is created switched off. Returns other entries unchanged. Pure. */
export function switchedOff(entry: DumpEntry): DumpEntry {
  const name = triggerOf(entry);
  if (name === undefined) return entry;
  const statements = entry.statements.filter(({ tokens }) => stateIn(tokens) === undefined);
  return { ...entry, statements: [...statements, ...parsed(stateStatement(name, 'DISABLE'))] };
}

type State = 'ENABLE' | 'ENABLE ALWAYS' | 'ENABLE REPLICA' | 'DISABLE';

/** Returns the states of the backup's event triggers, by name. Pure. */
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

/** Returns the state that `ALTER EVENT TRIGGER name …` sets; undefined for other statements. */
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
 * Gives the event triggers that the restore created their state from the backup. May be called again. Skips triggers that don't
 * exist, because they were left out.
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
 * Runs Holdfast's own DDL in a database that may have other people's event triggers. On PostgreSQL it switches off, for this
 * transaction only, those that this role may switch off; the caller must be in a transaction. On YugabyteDB other sessions would see
 * them switched off, so they stay on and fire.
 *
 * @throws HoldfastError `RESTORE_EVENT_TRIGGER` (permanent) when a trigger that this role may not switch off may have refused the work
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
