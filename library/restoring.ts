import { defined } from '../model/defined.ts';
import { UsageError } from '../model/errors.ts';
import type { CompiledPlan } from '../model/pipeline.ts';
import type { RecoveryRequest } from '../model/recovery.ts';
import type { Access } from './access.ts';
import { requireBackup } from './backups.ts';
import { type BegunRestore, beginInCluster, beginRestore, namesInHistory } from './begin-restore.ts';
import type { Waiting } from './entity-runs.ts';
import { ownerOf } from './explain-restore.ts';
import { type ChosenWay, chooseWay, describeBackup } from './recovery.ts';
import type { RestoreWishes, RunPlace } from './runs.ts';

/** What to restore, and how. Every member may be left out: then the newest backup comes back beside the original. */
export type RestoreOptions = Pick<
  RecoveryRequest,
  'to' | 'backup' | 'nearest' | 'verified' | 'into' | 'replace' | 'safetyBackup' | 'breakOthers'
> &
  Pick<RestoreWishes, 'check' | 'contents' | 'globals' | 'owner' | 'parallelism' | 'tables'> &
  Waiting;

/** Starts the restore that the options ask for. */
export async function restoreAsAsked(
  access: Access,
  place: RunPlace,
  plan: CompiledPlan,
  options: RestoreOptions,
): Promise<BegunRestore> {
  const { to, backup, nearest, verified, replace, breakOthers, tables } = options;
  if (backup !== undefined) await requireBackup(access, plan, backup);
  const selected = [...(tables?.include ?? []), ...(tables?.exclude ?? [])];
  const way = await chooseWay(access, plan, {
    ...defined({ to, backup, nearest, verified, replace, breakOthers }),
    ...(selected.length === 0 ? {} : { tables: selected }),
  });
  const { into, safetyBackup: safety = true, detach, onWait } = options;
  const waiting = defined({ detach, onWait });
  if ('schedule' in way) {
    const names = way.way === 'clone' ? namesFor(into, namesInHistory(plan)) : {};
    return beginInCluster(
      place,
      plan,
      {
        way: way.way,
        instant: way.instant,
        into: names,
        safety,
        ...(breakOthers === true ? { breakOthers } : {}),
      },
      waiting,
    );
  }
  const { databases } = await describeBackup(access, plan, way);
  const { check, contents, globals, owner = ownerOf(plan), parallelism } = options;
  const wishes: RestoreWishes = {
    ...wishesOf(way),
    safety,
    into: namesFor(into, databases),
    ...defined({ check, contents, globals, owner, parallelism, tables, replace }),
    ...(breakOthers === true ? { breakOthers } : {}),
  };
  return beginRestore(place, plan, wishes, waiting);
}

/** What a decision says of a restore from a backup. */
export function wishesOf(
  way: Extract<ChosenWay, { readonly backup: string }>,
): Pick<RestoreWishes, 'backup' | 'at' | 'replay'> {
  return {
    backup: way.backup,
    ...(way.way === 'snapshot' ? { at: way.instant } : {}),
    ...(way.way === 'archive' ? { replay: way.replay } : {}),
  };
}

/** The new names by database. A single name is that of the only database. */
function namesFor(
  into: RecoveryRequest['into'],
  databases: readonly string[],
): Readonly<Record<string, string>> {
  if (typeof into !== 'string') return into ?? {};
  const [only, ...others] = databases;
  if (only !== undefined && others.length === 0) return { [only]: into };
  throw new UsageError(
    `into: ${into} does not say which database it is for`,
    `Write e.g. { "${only ?? 'source'}": "${into}" }; it is about ${databases.join(', ')}.`,
  );
}
