import fc from 'fast-check';
import { stringify } from 'yaml';
import { type Compilation, compile } from '../../compiler/compile.ts';
import { originsOf } from '../../compiler/origins.ts';
import { asFile, REPOSITORY } from './marked.ts';

const NIGHTLY = `apiVersion: holdfast/v1
kind: PlanTemplate
metadata: { name: nightly }
spec:
  parameters:
    database: { type: string }
    hour: { default: "2" }
    days: { type: number, default: 7 }
  plan:
    source:
      ysql: { connection: { env: "\${database}_URL" }, tables: { exclude: ["public.tmp_*"] } }
    repository: main
    schedule: { cron: "0 \${hour} * * *" }
    retention: { keepDaily: "\${days}", keepWeekly: 5 }
    steps: [snapshot, export, upload: { parallelism: 2 }]
---
`;

const plan = (spec: string, name = 'orders'): string =>
  `apiVersion: holdfast/v1\nkind: BackupPlan\nmetadata: { name: ${name} }\nspec:\n${spec}\n`;
const ORDERS = '  template: { name: nightly, parameters: { database: ORDERS } }\n';

const compiled = (...texts: readonly string[]): Compilation => compile([asFile(texts.join(''))]);
const errors = ({ diagnostics }: Compilation): readonly string[] =>
  diagnostics.map(({ file, line, code, message }) => `${file}:${line} ${code} ${message}`);

test('a plan made of a template is the plan that is written out, down to its hash', () => {
  const made = compiled(REPOSITORY, NIGHTLY, plan(`${ORDERS}  retention: { keepDaily: 3, keepLast: 1 }`));
  const written = compiled(
    REPOSITORY,
    plan(`  source:
    ysql: { connection: { env: ORDERS_URL }, tables: { exclude: ["public.tmp_*"] } }
  repository: main
  schedule: { cron: "0 2 * * *" }
  retention: { keepDaily: 3, keepLast: 1, keepWeekly: 5 }
  steps: [snapshot, export, upload: { parallelism: 2 }]`),
  );
  expect(errors(made)).toEqual([]);
  expect(made.plans).toEqual(written.plans);
  expect(made.templates).toEqual([{ name: 'nightly', file: 'plans/test.yaml' }]);
});

describe('the plan wins', () => {
  const made = (spec: string) => {
    const { plans, diagnostics } = compiled(REPOSITORY, NIGHTLY, plan(`${ORDERS}${spec}`));
    expect(diagnostics).toEqual([]);
    return plans[0];
  };

  test('key by key in a mapping', () => {
    expect(made('  source: { ysql: { contents: data } }')?.pipeline.source).toMatchObject({
      connection: { env: 'ORDERS_URL' },
      contents: 'data',
    });
  });

  test('whole in a list', () => {
    const { source, steps } =
      made('  source: { ysql: { tables: { exclude: [a.b] } } }\n  steps: [snapshot, export, upload]')
        ?.pipeline ?? {};
    expect(source).toMatchObject({ tables: { exclude: ['a.b'] } });
    expect(steps?.map(({ parallelism }) => parallelism)).not.toContain(3);
    expect(steps).toHaveLength(3);
  });

  test('whole in a reference, which would otherwise have two places', () => {
    const source = made('  source: { ysql: { connection: { file: /run/secrets/url } } }')?.pipeline.source;
    expect(source).toMatchObject({ connection: { file: '/run/secrets/url' } });
  });
});

describe('a value of a parameter', () => {
  const STATEMENT = NIGHTLY.replace(
    'upload: {',
    () => 'upload, sql: { statement: "$${hour} ${hour}" }, verify: {',
  );

  test.each(['", steps: [x], x: "', '${days}', 'a\n  b: c', '*alias', '$&', '# comment'])(
    '%j stays the text of one value',
    (value) => {
      const { plans, diagnostics } = compiled(
        REPOSITORY,
        STATEMENT,
        plan(
          `  template: { name: nightly, parameters: { database: A, hour: ${JSON.stringify(value)} } }\n  schedule: { cron: "@daily" }`,
        ),
      );
      expect(diagnostics).toEqual([]);
      const sql = plans[0]?.pipeline.steps.find(({ verb }) => verb === 'sql');
      expect(sql?.options).toEqual({ statement: `\${hour} ${value}` });
    },
  );

  test('keeps its type where it stands alone', () => {
    const { plans } = compiled(
      REPOSITORY,
      NIGHTLY,
      plan('  template: { name: nightly, parameters: { database: A, days: 30 } }'),
    );
    expect(plans[0]?.retention?.keepDaily).toBe(30);
  });
});

describe('an error stands where its author can mend it', () => {
  test.each([
    [
      'in the template, once, where it is wrong by itself',
      NIGHTLY.replace('keepWeekly: 5', 'keepWeekli: 5'),
      `${plan(ORDERS)}---\n${plan(ORDERS, 'billing')}`,
      ['plans/test.yaml:19 UNKNOWN_KEY `keepWeekli` is not a key of `spec.retention`'],
    ],
    [
      'in the template, though no plan is made of it',
      NIGHTLY.replace('keepWeekly: 5', 'keepWeekly: many'),
      plan('  source: { ysql: { connection: { env: URL } } }\n  repository: main'),
      ['plans/test.yaml:19 WRONG_TYPE `spec.retention.keepWeekly` must be a whole number, and this is text'],
    ],
    [
      'in the plan, at the value that it gives a parameter',
      NIGHTLY,
      plan('  template: { name: nightly, parameters: { database: A, hour: "99" } }'),
      [expect.stringMatching(/^plans\/test\.yaml:26 BAD_CRON .*99/)],
    ],
    [
      'in the plan, at a key that does not go with one of the template',
      NIGHTLY,
      plan(`${ORDERS}  source: { universe: { masters: ["10.0.0.1:7100"], databases: [orders] } }`),
      [expect.stringMatching(/NOT_EXACTLY_ONE `spec\.source` has both `ysql` and `universe`$/)],
    ],
    [
      'in the plan, which lacks what neither gives',
      NIGHTLY.replace('    repository: main\n', ''),
      plan(ORDERS),
      ['plans/test.yaml:24 MISSING_KEY `spec.repository` is missing'],
    ],
    [
      'in the plan, for the type of a value',
      NIGHTLY,
      plan('  template: { name: nightly, parameters: { database: 7, days: many } }'),
      [
        'plans/test.yaml:26 WRONG_TYPE The parameter `database` must be text, and this is a number',
        'plans/test.yaml:26 WRONG_TYPE The parameter `days` must be a number, and this is text',
      ],
    ],
    [
      'in the template, for a default of the wrong type',
      NIGHTLY.replace('default: 7', 'default: seven'),
      plan(ORDERS),
      ['plans/test.yaml:13 WRONG_TYPE The parameter `days` must be a number, and this is text'],
    ],
    [
      'in the template, at steps that do not fit together',
      NIGHTLY.replace('[snapshot, export, upload: { parallelism: 2 }]', '[snapshot, upload]'),
      plan(ORDERS),
      [expect.stringMatching(/^plans\/test\.yaml:20 MISSING_INPUT .*\(in plan `orders`\)$/)],
    ],
  ])('%s', (_, template, plans, expected) => {
    expect(errors(compiled(REPOSITORY, template, plans))).toEqual(expected);
  });
});

test('explain knows where each value came from', () => {
  const files = [
    asFile(`${REPOSITORY}${NIGHTLY}`, 'templates.yaml'),
    asFile(plan(`${ORDERS}  retention: { keepDaily: 3 }`), 'orders.yaml'),
  ];
  expect(compile(files).diagnostics).toEqual([]);
  const origins = originsOf({ name: 'orders', file: 'orders.yaml' }, files);
  const of = (field: string) => origins.find((origin) => origin.field === field);
  expect(of('source.ysql.connection.env')).toEqual({
    field: 'source.ysql.connection.env',
    value: 'ORDERS_URL',
    from: 'parameter',
    file: 'orders.yaml',
    line: 5,
    parameters: ['database'],
  });
  expect(of('schedule.cron')).toMatchObject({ from: 'parameter', file: 'templates.yaml', line: 18 });
  expect(of('retention.keepWeekly')).toMatchObject({ from: 'template', file: 'templates.yaml', line: 19 });
  expect(of('retention.keepDaily')).toMatchObject({ value: 3, from: 'plan', file: 'orders.yaml', line: 6 });
  expect(of('schedule.timezone')).toEqual({ field: 'schedule.timezone', value: 'UTC', from: 'default' });
  expect(of('steps[2].upload.parallelism')).toMatchObject({ value: 2, from: 'template' });
});

test('whatever a template and its plans hold, compiling ends, and errors stand inside their files', () => {
  const value = fc.oneof(fc.string({ maxLength: 12 }), fc.integer(), fc.boolean(), fc.constant(null));
  const text = fc
    .array(fc.constantFrom('${a}', '$${', '${', '}', '${b}', 'x', ' '))
    .map((parts) => parts.join(''));
  const body = fc.dictionary(
    fc.constantFrom('source', 'repository', 'schedule', 'retention', 'steps', 'template', 'x'),
    fc.oneof(text, value, fc.dictionary(fc.constantFrom('cron', 'ysql', 'keepLast'), fc.oneof(text, value))),
  );
  const parameters = fc.dictionary(
    fc.constantFrom('a', 'b', '9'),
    fc.oneof(value, fc.record({ default: value })),
  );
  fc.assert(
    fc.property(body, body, parameters, parameters, (template, own, declared, given) => {
      const files = [
        asFile(
          stringify({
            apiVersion: 'holdfast/v1',
            kind: 'PlanTemplate',
            metadata: { name: 't' },
            spec: { parameters: declared, plan: template },
          }),
          't.yaml',
        ),
        asFile(
          stringify({
            apiVersion: 'holdfast/v1',
            kind: 'BackupPlan',
            metadata: { name: 'p' },
            spec: { ...own, template: { name: 't', parameters: given } },
          }),
          'p.yaml',
        ),
      ];
      const result = compile(files);
      expect(compile(files)).toEqual(result);
      for (const { file, line, column } of result.diagnostics) {
        const lines = files.find(({ path }) => path === file)?.text.split('\n') ?? [];
        expect(line).toBeLessThanOrEqual(lines.length);
        expect(column).toBeLessThanOrEqual((lines[line - 1] ?? '').length + 1);
      }
    }),
    { numRuns: 300 },
  );
});
