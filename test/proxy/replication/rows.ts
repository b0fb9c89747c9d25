import type { PublishedTable } from './catalogue.ts';
import {
  type Cell,
  type Change,
  deleteMessage,
  insertMessage,
  type Relation,
  type Row,
  updateMessage,
} from './messages.ts';
import { Refusal } from './refusal.ts';
import type { LineBehaviour } from './settings.ts';

/** How a slot words the changes of rows. */
export interface Wording {
  readonly behaviour: LineBehaviour;
  readonly nullBeforeImages: boolean;
}

/**
 * A change as YugabyteDB's output plugins send it: no message, or two where a primary key changed. `inserted` has the rows that the transaction
 * inserted before, of which no image of before is there (issue in docs LR/_index.md, "Limitations").
 *
 * Source: TestPgReplicationSlot.java, testReplicationConnectionConsumption; yb_decode.c; proto.c.
 */
export function rowMessages(
  change: Change,
  table: PublishedTable,
  inserted: Set<string>,
  wording: Wording,
): readonly Buffer[] {
  const { relation, before } = change;
  const after = filled(change.after, before);
  const key = (row: Row) =>
    `${relation.oid} ${row.map((cell, at) => (table.key.has(relation.columns[at]?.name ?? '') ? String(cell) : '')).join('\0')}`;
  if (after !== undefined && before === undefined) {
    inserted.add(key(after));
    return [insertMessage(relation.oid, after)];
  }
  if (before === undefined || table.identity === 'n') return [];
  const isNew = inserted.has(key(before));
  if (isNew && table.identity !== 'c' && !wording.nullBeforeImages) {
    throw new Refusal(
      'XX000',
      'Failed to get the beforeimage for tablet_id: 7d5f0e9a4c1b4f0e8a51c2f6d3b9e870',
    );
  }
  const image = isNew && table.identity === 'f' ? before.map(() => null) : before;
  const removed = () =>
    table.identity === 'f' && !isNew
      ? deleteMessage(relation.oid, 'O', image)
      : deleteMessage(relation.oid, 'K', keyOnly(relation, before, table.key));
  if (after === undefined) return [removed()];
  if (key(before) !== key(after)) {
    inserted.add(key(after));
    return [removed(), insertMessage(relation.oid, after)];
  }
  if (table.identity === 'c') {
    const changed = after.map((cell, at): Cell => {
      const isKey = table.key.has(relation.columns[at]?.name ?? '');
      return isKey || !isSame(cell, before[at] ?? null) ? cell : 'unset';
    });
    const empty = { letter: 'K', row: before.map((): Cell => 'unset') } as const;
    return [updateMessage(relation.oid, wording.behaviour.emptyOldTuple ? empty : undefined, changed)];
  }
  const old = table.identity === 'f' ? ({ letter: 'O', row: image } as const) : undefined;
  return [updateMessage(relation.oid, old, after)];
}

/** PostgreSQL leaves out a large value that didn't change; YugabyteDB has no TOAST. */
function filled(after: Row | undefined, before: Row | undefined): Row | undefined {
  return after?.map((cell, at) => (cell === 'unset' ? (before?.[at] ?? null) : cell));
}

function keyOnly(relation: Relation, row: Row, key: ReadonlySet<string>): Row {
  return row.map((cell, at) => (key.has(relation.columns[at]?.name ?? '') ? cell : null));
}

function isSame(one: Cell, other: Cell): boolean {
  if (Buffer.isBuffer(one) && Buffer.isBuffer(other)) return one.equals(other);
  return one === other;
}
