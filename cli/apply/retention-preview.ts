import { messageOf } from '../../model/errors.ts';
import type { CompiledPlan } from '../../model/pipeline.ts';
import { decideRetention } from '../../planning/retention.ts';
import { readCatalogue } from '../../repository/catalogue.ts';
import { withStore } from '../backups.ts';

export type RetentionPreview =
  | {
      readonly deletes: readonly { readonly backup: string; readonly instant: string }[];
      readonly keeps: number;
    }
  /** The repository can't be read from here, which is no reason not to apply. */
  | { readonly unknown: string };

/** What a plan's retention would delete of what the repository holds now. */
export async function retentionPreview({
  name,
  pipeline,
  retention,
}: CompiledPlan): Promise<RetentionPreview> {
  try {
    return await withStore(pipeline.repository, async (store) => {
      const { entries } = await readCatalogue(store, pipeline.repository, name);
      const verdicts = decideRetention(entries, retention, { now: new Date() });
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
