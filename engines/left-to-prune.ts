import { messageOf } from '../model/errors.ts';
import { staysForPrune } from '../repository/store-errors.ts';
import type { BackupContext } from './engine.ts';

/**
 * Clears away. Credentials that may not delete are a choice (docs/retention.md): what they leave is swept by the prune
 * workflow, which has its own.
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
