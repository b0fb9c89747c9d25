import type { AssertionResult } from '../model/drill.ts';
import { HoldfastError, permanent } from '../model/errors.ts';
import { ASSERTION_OBJECT_MISSING, type RestoreContext, type RestoreEngine } from './engine.ts';
import { differenceInAnswer } from './judge-assertion.ts';

/**
 * Runs one assertion on a restored copy. The verdict is `FAILED` if the answer is wrong or the copy lacks an object that the statement names, and
 * `INCONCLUSIVE` if the statement can't be run for another reason, which says nothing about the data. Throws transient errors.
 */
export async function askCopy(
  engine: RestoreEngine,
  context: RestoreContext,
  index: number,
): Promise<AssertionResult> {
  const assertion = context.request.assertions?.[index];
  if (assertion === undefined) {
    throw permanent('NO_SUCH_ASSERTION', `the restore has no assertion ${index}`, 'Start the drill again.');
  }
  const { name, sql, database, expect } = assertion;
  if (engine.ask === undefined) {
    return { name, verdict: 'INCONCLUSIVE', problem: 'copies of this engine can’t be asked' };
  }
  try {
    const problem = differenceInAnswer(expect, await engine.ask(context, database, sql));
    return problem === undefined ? { name, verdict: 'OK' } : { name, verdict: 'FAILED', problem };
  } catch (error) {
    if (!(error instanceof HoldfastError) || error.transient) throw error;
    const verdict = error.code === ASSERTION_OBJECT_MISSING ? 'FAILED' : 'INCONCLUSIVE';
    return { name, verdict, problem: error.message };
  }
}
