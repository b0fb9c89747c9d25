import { withStore } from '../../library/backups.ts';
import { defined } from '../../model/defined.ts';
import { messageOf } from '../../model/errors.ts';
import type { CompiledPlan } from '../../model/pipeline.ts';
import { decideRetention } from '../../planning/retention.ts';
import { readCatalogue } from '../../repository/catalogue.ts';
import { HERE } from '../here.ts';

export type RetentionPreview =
  | {
      readonly deletes: readonly { readonly backup: string; readonly instant: string }[];
      readonly keeps: number;
    }
  /** Why the repository can't be read from here. The plan can be applied all the same. */
  | { readonly unknown: string };

/** The backups that a plan's retention would delete now. */
export async function retentionPreview({
  name,
  pipeline,
  retention,
  pointTime,
}: CompiledPlan): Promise<RetentionPreview> {
  try {
    return await withStore(HERE, pipeline.repository, async (store) => {
      const { entries } = await readCatalogue(store, pipeline.repository, name);
      const verdicts = decideRetention(entries, retention, {
        now: new Date(),
        ...defined({ historyMs: pointTime?.offCluster?.retentionMs }),
      });
      const dropped = verdicts.filter(({ keep }) => !keep);
      return {
        deletes: dropped.map(({ backup, instant }) => ({ backup, instant })),
        keeps: verdicts.length - dropped.length,
      };
    });
  } catch (error) {
    return { unknown: messageOf(error) };
  }
}
