import { messageOf } from '../model/errors.ts';
import { staysForPrune } from '../repository/store-errors.ts';
import type { BackupContext } from './engine.ts';

/**
 * Runs `clear`. Returns undefined if the credentials may not delete, which is an operator's choice (docs/retention.md), or a lock forbids it: then
 * the prune workflow, which has its own credentials, sweeps what is left. Throws every other failure.
 */
export async function leftToPrune<T>(
  context: Pick<BackupContext, 'log' | 'ref'>,
  clear: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await clear();
  } catch (error) {
    if (!staysForPrune(error)) throw error;
    context.log(`what ${context.ref.backup} leaves over stays until the next prune: ${messageOf(error)}`);
    return undefined;
  }
}
