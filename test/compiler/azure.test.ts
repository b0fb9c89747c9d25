import { compile } from '../../compiler/compile.ts';
import { repositoryForPruning } from '../../planning/prune.ts';
import { planDocument } from '../support/plan-files.ts';

test('a repository in Azure goes into the plan with its references, and prunes have credentials of their own', () => {
  const text = `apiVersion: holdfast/v1
kind: Repository
metadata: { name: main }
spec:
  azure:
    account: acmebackups
    container: back-ups
    accessTier: Cool
    credentials: { sasToken: { env: SAS } }
    pruneCredentials: { accountKey: { file: /run/secrets/azure } }
${planDocument('orders')}`;
  const { plans, diagnostics } = compile([{ path: 'orders.yaml', text }]);
  expect(diagnostics).toEqual([]);
  const [plan] = plans;
  if (plan === undefined) throw new Error('no plan');
  const location = {
    ...{ kind: 'azure', account: 'acmebackups', container: 'back-ups', prefix: '', accessTier: 'Cool' },
    credentials: { sasToken: { env: 'SAS' } },
    pruneCredentials: { accountKey: { file: '/run/secrets/azure' } },
  };
  expect(plan.pipeline.repository.location).toEqual(location);
  expect(repositoryForPruning(plan.pipeline.repository).location).toEqual({
    ...location,
    credentials: location.pruneCredentials,
  });
});
