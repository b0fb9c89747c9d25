import type { CompiledPlan } from '../model/pipeline.ts';
import type { PlanSurvey } from '../model/survey.ts';
import { surveyOf } from '../planning/survey.ts';
import { readCatalogue } from '../repository/catalogue.ts';
import type { Access } from './access.ts';
import { withStore } from './backups.ts';
import { inClusterHistory } from './recovery.ts';

/** What a plan's repository, and its universe's own history, hold now. Throws the errors of reading the repository. */
export async function readSurvey(access: Access, plan: CompiledPlan): Promise<PlanSurvey> {
  const { name, pipeline } = plan;
  const { archiveSources } = await import('../engines/ysql/archive/sources.ts');
  const { archiveStandings } = await import('../engines/ysql/archive/window.ts');
  const { catalogue, archives, archive } = await withStore(access, pipeline.repository, async (store) => {
    const found = await readCatalogue(store, pipeline.repository, name);
    return {
      catalogue: found,
      archives: await archiveSources(store, name, found.entries),
      archive: await archiveStandings(store, name),
    };
  });
  const survey = surveyOf(catalogue, [...(await inClusterHistory(access, plan)), ...archives], []);
  return archive.length === 0 ? survey : { ...survey, archive };
}
