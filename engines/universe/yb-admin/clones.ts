import { defined } from '../../../model/defined.ts';
import { unreadable } from './errors.ts';
import type { YbAdmin } from './program.ts';
import { field, jsonIn, textField } from './text.ts';
import { microsOf } from './times.ts';

/** A copy of a database within the universe, sharing its files. */
export interface Clone {
  /** e.g. `CLONE_SCHEMA_STARTED`, `RESTORING`, `COMPLETE`, `ABORTED`; as the universe calls them. */
  readonly state: string;
  readonly sequence: string;
  readonly sourceNamespaceId?: string;
  readonly target?: string;
  readonly asOfMicros?: string;
}

/** Starts a clone of `source` (`ysql.orders`) named `target`, as it was at an instant (microseconds since 1970). */
export async function cloneNamespace(
  admin: YbAdmin,
  source: string,
  target: string,
  asOfMicros: string,
): Promise<{ readonly sourceNamespaceId?: string; readonly sequence?: string }> {
  const value = jsonIn('clone_namespace', await admin.run('clone_namespace', [source, target, asOfMicros]));
  const sourceNamespaceId = textField(value, 'source_namespace_id');
  const sequence = textField(value, 'seq_no');
  return {
    ...defined({ sourceNamespaceId, sequence }),
  };
}

/** Lists the clones of a database, by the database's id. */
export async function listClones(admin: YbAdmin, sourceNamespaceId: string): Promise<readonly Clone[]> {
  return parseClones(await admin.run('list_clones', [sourceNamespaceId]));
}

/** Throws `YB_ADMIN_UNREADABLE`. */
export function parseClones(output: string): readonly Clone[] {
  const value = jsonIn('list_clones', output);
  const list = Array.isArray(value) ? value : field(value, 'clones');
  if (!Array.isArray(list)) throw unreadable('list_clones', output, 'list of clones');
  return list.map((entry) => {
    const state = textField(entry, 'aggregate_state', 'state');
    if (state === undefined) throw unreadable('list_clones', output, 'state in every clone');
    const sourceNamespaceId = textField(entry, 'source_namespace_id');
    const target = textField(entry, 'target_namespace_name');
    const asOfMicros = microsOf(textField(entry, 'restore_time'));
    return {
      state,
      sequence: textField(entry, 'seq_no') ?? '',
      ...defined({ sourceNamespaceId, target, asOfMicros }),
    };
  });
}
