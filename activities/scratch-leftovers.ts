import { engineOf } from '../engines/registry.ts';
import { PLAIN_RESTORE, type RestoreRequest } from '../model/backup.ts';
import { isDoctors, scratchNameIn } from '../model/drill.ts';
import { HoldfastError, messageOf } from '../model/errors.ts';
import { backupFolder } from '../repository/layout.ts';
import { type Pin, readPins, removePin } from '../repository/retention/pins.ts';
import type { Activities } from './contract.ts';
import type { Pins } from './pins.ts';
import type { Repositories } from './repositories.ts';
import { asActivity } from './run-activity.ts';

/**
 * Drops the databases of scratch restores that were terminated and so could not drop them. A scratch restore pins its backup before it creates
 * any. So a pin whose workflow is gone says which databases may exist. Once they are dropped, the pin is removed.
 */
export function scratchLeftovers(
  repositories: Repositories,
  pins: Pins,
): Pick<Activities, 'clearRehearsals'> {
  return {
    clearRehearsals: ({ repository, plan, source, connection }) =>
      asActivity(async (verb) => {
        const store = await repositories.look(repository);
        const cleared: string[] = [];
        const problems: string[] = [];
        for (const pin of await readPins(store, { plan }, { signal: verb.signal })) {
          const restore = scratchNameIn(pin.workflowId);
          if (restore === undefined || (await isReading(pin, pins))) continue;
          verb.heartbeat();
          const ref = { repository, plan, backup: pin.backup };
          try {
            const opened = await repositories.backup(ref);
            const context = { ...verb, ...opened, ref, folder: backupFolder(ref) };
            // Doctor makes its scratch databases beside the source, even if drills restore elsewhere.
            const elsewhere = isDoctors(restore) ? undefined : connection;
            const given = { from: ref, ...(elsewhere && { connection: elsewhere }) };
            const request = { ...scratch(restore, given), source };
            await (await engineOf(source)).discard({ ...context, request });
            await removePin(store, pin, { signal: verb.signal });
            cleared.push(restore);
          } catch (error) {
            verb.signal.throwIfAborted();
            if (!(error instanceof HoldfastError)) throw error;
            problems.push(`${restore}: ${messageOf(error)}`);
          }
        }
        return { cleared, problems };
      }),
  };
}

async function isReading(pin: Pin, pins: Pins): Promise<boolean> {
  return pin.ended !== true && (await pins.isLive(pin));
}

function scratch(
  restore: string,
  given: Pick<RestoreRequest, 'from' | 'connection'>,
): Omit<RestoreRequest, 'source'> {
  return {
    restore,
    ...PLAIN_RESTORE,
    parallelism: 1,
    scratch: true,
    ...given,
  };
}
