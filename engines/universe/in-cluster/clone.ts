import { permanent } from '../../../model/errors.ts';
import { cloneNamespace, listClones } from '../yb-admin/clones.ts';
import { findNamespace } from '../yb-admin/namespaces.ts';
import type { YbAdmin } from '../yb-admin/program.ts';
import { until, type Waiting } from './rewind.ts';

/**
 * Makes a copy of a YSQL database as it was at an instant (microseconds since 1970), within the universe, and waits until it is whole. If an
 * earlier attempt began the clone, waits for that one.
 *
 * @throws HoldfastError `TARGET_EXISTS`, `CLONE_FAILED` (permanent)
 */
export async function clone(
  admin: YbAdmin,
  source: string,
  target: string,
  atMicros: string,
  waiting: Waiting,
): Promise<void> {
  const namespace = await findNamespace(admin, 'ysql', source);
  if (namespace === undefined) {
    throw permanent(
      'CLONE_FAILED',
      `The universe has no database "${source}"`,
      'Check source.universe.databases in the plan.',
    );
  }
  const find = async () =>
    (await listClones(admin, namespace.id)).find(
      (one) => one.target === target && isInstant(one.asOfMicros, atMicros),
    );
  if ((await find()) === undefined) {
    if ((await findNamespace(admin, 'ysql', target)) !== undefined) {
      throw permanent(
        'TARGET_EXISTS',
        `There is a database "${target}" already`,
        'Choose another name (--into).',
      );
    }
    await cloneNamespace(admin, `ysql.${source}`, target, atMicros);
  }
  await until(waiting, `the clone "${target}" of "${source}" is not whole`, async () => {
    const state = (await find())?.state;
    if (state === 'COMPLETE' || state === 'RESTORED') return true;
    if (state !== 'ABORTED') return undefined;
    throw permanent(
      'CLONE_FAILED',
      `The universe gave up the clone "${target}" of "${source}"`,
      'See the log of the leading master; cloning needs enable_db_clone and a local socket that trusts on every node.',
    );
  });
}

/** Whether a clone is of the wanted instant. `list_clones` prints instants to the microsecond; a clone without one counts as equal. */
function isInstant(found: string | undefined, wanted: string): boolean {
  return found === undefined || found === wanted;
}
