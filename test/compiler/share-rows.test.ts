import { compile } from '../../compiler/compile.ts';
import { asFile, REPOSITORY } from './marked.ts';

const PLAN = `apiVersion: holdfast/v1
kind: BackupPlan
metadata: { name: orders }
spec:
  repository: main
  source: { ysql: { connection: { env: ORDERS_URL } } }
`;

it.each([true, false, undefined])(
  'shareRows: %s of a Repository comes to the steps of its plans',
  (wanted) => {
    const spec = wanted === undefined ? 'spec: {' : `spec: { shareRows: ${wanted},`;
    const repository = REPOSITORY.replace('spec: {', spec);
    const { plans, diagnostics } = compile([asFile(`${repository}${PLAN}`)]);
    expect(diagnostics).toEqual([]);
    expect(plans.map(({ pipeline }) => pipeline.repository.shareRows)).toEqual([wanted]);
  },
);
