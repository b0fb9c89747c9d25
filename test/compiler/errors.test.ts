import { compile } from '../../compiler/compile.ts';
import { DIAGNOSTIC_CODES, type DiagnosticCode } from '../../compiler/diagnostic.ts';
import { renderDiagnostics } from '../../compiler/render.ts';
import { asFile, planFile, REPOSITORY, unmark } from './marked.ts';

/** What is wrong; the code of each error, in order; the file with what is underlined marked; a part of what to write. */
type Row = readonly [
  wrong: string,
  codes: DiagnosticCode | readonly DiagnosticCode[],
  file: string,
  remedy?: string,
];

interface Case {
  readonly wrong: string;
  readonly codes: readonly DiagnosticCode[];
  readonly file: string;
  readonly remedy: string;
}

const cases = (rows: readonly Row[]): readonly Case[] =>
  rows.map(([wrong, codes, file, remedy = '']) => ({ wrong, codes: [codes].flat(), file, remedy }));

const steps = (list: string): string => planFile(`  steps:\n${list}`);
const assertion = (it: string): string => planFile(`  drill: { assertions: [${it}] }`);
const ysql = (rest: string): string =>
  planFile(`  source:\n    ysql:\n      connection: { env: URL }\n      ${rest}`);
const RECIPIENT = 'age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p';
const encrypted = (recipients: string): string =>
  `apiVersion: holdfast/v1\nkind: Repository\nmetadata: { name: main }\nspec:\n  directory: /mnt/backups\n  encryption: { recipients: [${recipients}], identity: { env: IDENTITY } }\n`;
const PUBLIC_KEY = `ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI${'A'.repeat(43)}`;
const signed = (trusted: string): string =>
  `apiVersion: holdfast/v1\nkind: Repository\nmetadata: { name: main }\nspec:\n  directory: /mnt/backups\n  signing: { trusted: [${trusted}] }\n`;
const gcs = (options: string): string =>
  `apiVersion: holdfast/v1\nkind: Repository\nmetadata: { name: main }\nspec:\n  gcs: { bucket: backups, ${options} }\n`;
const azure = (options: string): string =>
  `apiVersion: holdfast/v1\nkind: Repository\nmetadata: { name: main }\nspec:\n  azure: { account: acmebackups, container: backups, ${options} }\n`;
const s3 = (options: string): string =>
  `apiVersion: holdfast/v1\nkind: Repository\nmetadata: { name: main }\nspec:\n  s3: { bucket: backups, ${options} }\n`;

const SYNTAX = cases([
  ['an unclosed bracket', 'NOT_YAML', `${REPOSITORY}spec: [a, b\n«»`],
  ['text that only looks like YAML', 'NOT_YAML', planFile('  schedule: { cron: "0 2 * * *" }«}»')],
  ['a tab', 'TAB_INDENT', 'apiVersion: holdfast/v1\nmetadata:\n«\t»name: x\n', 'spaces'],
  [
    'a key twice',
    'DUPLICATE_KEY',
    planFile('  schedule: { cron: "@daily", «cron»: "@hourly" }'),
    'one of them',
  ],
  ['a tag', 'BAD_TAG', planFile('  schedule: { cron: «!secret» "@daily" }')],
  ['an alias without anchor', 'BAD_ALIAS', planFile('  schedule: { cron: «*nightly» }'), 'quotes'],
  ['an anchor inside itself', 'ALIAS_BOMB', planFile('  steps: &a [ «*a» ]')],
  ['an empty file', 'FILE_EMPTY', '«»', 'BackupPlan'],
  ['a file of comments', 'FILE_EMPTY', '«»# nothing here\n'],
]);

const SHAPE = cases([
  ['a document that is no mapping', 'WRONG_TYPE', '«just text»\n'],
  ['no kind', 'MISSING_KEY', '«apiVersion»: holdfast/v1\nmetadata: { name: x }\n', 'kind: BackupPlan'],
  ['an unknown kind', 'UNKNOWN_KIND', 'apiVersion: holdfast/v1\nkind: «BackupPlann»\n', '`BackupPlan`?'],
  [
    'a version of the future',
    'UNKNOWN_VERSION',
    REPOSITORY.replace('holdfast/v1', '«holdfast/v2»'),
    'holdfast/v1',
  ],
  [
    'an unknown key',
    'UNKNOWN_KEY',
    planFile('  retension: { keepLast: 3 }'.replace('retension', '«retension»')),
    '`retention`?',
  ],
  [
    'an unknown key of a verb',
    'UNKNOWN_KEY',
    steps('    - snapshot\n    - export\n    - upload: { «paralelism»: 4 }'),
    '`parallelism`?',
  ],
  ['an unknown verb', 'UNKNOWN_KEY', steps('    - «snapshoot»'), '`snapshot`?'],
  [
    'a setting beside its verb',
    'MISPLACED_KEY',
    steps('    - snapshot\n    - export\n    - upload:\n      «timeout»: 6h'),
    'upload: { timeout',
  ],
  [
    'a condition inside its verb',
    'MISPLACED_KEY',
    steps(
      '    - snapshot\n    - export\n    - upload\n    - http: { url: "https://x.example", «when»: failure }',
    ),
    'indented like the verb',
  ],
  ['a missing name', 'MISSING_KEY', planFile('', '«metadata»: { labels: { a: b } }'), 'name: orders-nightly'],
  [
    'a missing source',
    'MISSING_KEY',
    planFile('')
      .replace(/ {2}source.*\n/, '')
      .replace('spec:\n  repo', '«spec»:\n  repo'),
    'source: {',
  ],
  [
    'a missing option',
    'MISSING_KEY',
    steps('    - snapshot\n    - export\n    - upload\n    - «copy»: {}'),
    'to: second-site',
  ],
  [
    'a verb that needs options without any',
    'MISSING_KEY',
    steps('    - snapshot\n    - export\n    - upload\n    - «http»'),
    'http: { url',
  ],
  ['retention without rules', 'MISSING_KEY', planFile('  «retention»: {}'), 'keepDaily: 7'],
  [
    'retention that names no rule to keep',
    'MISSING_KEY',
    planFile('  «retention»: { minCount: 3, grace: 1d }'),
    'keepDaily: 7',
  ],
  [
    'retention in no time zone',
    'BAD_TIMEZONE',
    planFile('  retention: { keepDaily: 7, timezone: «Berlin» }'),
  ],
  [
    'an assertion that expects nothing',
    'MISSING_KEY',
    assertion('{ sql: SELECT 1, «expect»: {} }'),
    '`rows`',
  ],
  ['an assertion without an answer', 'MISSING_KEY', assertion('{ «sql»: SELECT 1 }'), 'expect: { min: 1 }'],
  [
    'a range the wrong way round',
    'OUT_OF_RANGE',
    assertion('{ sql: SELECT 1, expect: { min: «5», max: 3 } }'),
    'Exchange',
  ],
  [
    'a range and rows',
    'NOT_EXACTLY_ONE',
    assertion('{ sql: SELECT 1, expect: { min: 5, «rows»: [[1]] } }'),
    'an assertion for each',
  ],
  ['rows that are no lists', 'WRONG_TYPE', assertion('{ sql: SELECT 1, expect: { rows: [«3»] } }'), '[3]'],
  ['a misspelt bound', 'UNKNOWN_KEY', assertion('{ sql: SELECT 1, expect: { max: 3, «mni»: 3 } }'), '`min`?'],
  ['nobody to notify', 'NOT_EXACTLY_ONE', planFile('  notify: [{ «on»: [failure] }]'), '`slack`'],
  [
    'a signature of a Slack message',
    'MISPLACED_KEY',
    planFile('  notify: [{ slack: { env: HOOK }, «secret»: { env: KEY } }]'),
    'belongs to `webhook`',
  ],
  [
    'events of a ping',
    'MISPLACED_KEY',
    planFile('  notify: [{ ping: { env: PING }, «on»: [all] }]'),
    'Leave',
  ],
  [
    'an event that there is not',
    'WRONG_VALUE',
    planFile('  notify: [{ slack: { env: HOOK }, on: [«backup.complete»] }]'),
    'backup.completed',
  ],
  [
    'a mail to nobody that can be reached',
    'BAD_NAME',
    planFile('  notify: [{ email: { to: [«oncall»], from: a@b.c, smtp: { env: SMTP } } }]'),
    'oncall@example.com',
  ],
  [
    'an address to notify in plain text',
    'SECRET_IN_PLAIN_TEXT',
    planFile('  notify: [{ slack: «https://hooks.slack.com/services/T0/B0/x» }]'),
    'env: NAME',
  ],
  ['a list where a mapping belongs', 'WRONG_TYPE', planFile('  «retention»: [3]'), 'keepLast: 3'],
  ['a number where text belongs', 'WRONG_TYPE', planFile('', 'metadata: { name: «42» }'), '"42"'],
  [
    'text where a list belongs',
    'WRONG_TYPE',
    steps('    - snapshot\n    - export\n    - upload\n    - verify:\n      needs: «upload»'),
    '[upload]',
  ],
  ['nothing where a value belongs', 'WRONG_TYPE', planFile('  schedule: { «cron»: }'), 'cron: "0 2'],
  [
    'text where a number belongs',
    'WRONG_TYPE',
    planFile('  retention: { keepLast: «three» }'),
    'keepLast: 3',
  ],
  ['a fraction where a whole number belongs', 'WRONG_TYPE', planFile('  retention: { keepLast: «1.5» }')],
  [
    'a value that is not one of the choices',
    'WRONG_VALUE',
    planFile('  schedule: { cron: "@daily", overlap: «skipp» }'),
    '`skip`?',
  ],
  ['an object lock where it is not offered', 'UNKNOWN_KEY', gcs('«objectLock»: { days: 30 }'), 'Known here'],
  [
    'credentials in clear',
    'WRONG_VALUE',
    gcs('endpoint: "http://127.0.0.1:4443", «credentials»: { env: KEY }'),
    'https:',
  ],
  [
    'a lock in Azure, where it is not offered',
    'UNKNOWN_KEY',
    azure('«objectLock»: { days: 30 }'),
    'Known here',
  ],
  ['a tier that must be thawed', 'WRONG_VALUE', azure('accessTier: «Archive»'), 'Cool'],
  [
    'a signature in clear',
    'WRONG_VALUE',
    azure('credentials: { sasToken: { env: SAS } }, endpoint: "«http://127.0.0.1:10000/acmebackups»"'),
    'https:',
  ],
  [
    'a token in clear, where the key is the pruner’s alone',
    'WRONG_VALUE',
    azure('pruneCredentials: { accountKey: { env: KEY } }, endpoint: "«http://127.0.0.1:10000/acmebackups»"'),
    'accountKey',
  ],
  ['a storage class that must be thawed', 'WRONG_VALUE', s3('storageClass: «DEEP_ARCHIVE»'), 'STANDARD'],
  [
    'a key for encryption without a service',
    'WRONG_VALUE',
    s3('sse: { algorithm: AES256, kmsKeyId: «k» }'),
    'aws:kms',
  ],
  ['an empty list', 'WRONG_VALUE', ysql('tables: { «include»: [] }'), 'leave it out'],
  [
    'more parallelism than possible',
    'OUT_OF_RANGE',
    steps('    - snapshot\n    - export\n    - upload: { parallelism: «65» }'),
    'at most 64',
  ],
  [
    'parallelism for a verb without it',
    'OUT_OF_RANGE',
    steps('    - flush: { parallelism: «2» }\n    - snapshot\n    - export\n    - upload'),
    'Remove',
  ],
  [
    'waits that get shorter',
    'OUT_OF_RANGE',
    steps(
      '    - snapshot\n    - export\n    - upload: { «retry»: { initialInterval: 5m, maximumInterval: 1m } }',
    ),
  ],
  ['a step without a verb', 'NOT_EXACTLY_ONE', steps('    - «id»: x'), 'flush'],
  ['a step with two verbs', 'NOT_EXACTLY_ONE', steps('    - flush:\n      «snapshot»:'), 'a step of its own'],
  [
    'two places for one repository',
    'NOT_EXACTLY_ONE',
    REPOSITORY.replace('/mnt/backups', '/mnt/b, «s3»: { bucket: backups }'),
  ],
  [
    'a YCQL source that does not say that it is a scan',
    'CONSISTENCY_NOT_SAID',
    planFile('  source: { «ycql»: { contactPoints: [10.0.0.11] } }'),
    'universe',
  ],
  [
    'a YCQL source that says it is something else',
    'CONSISTENCY_NOT_SAID',
    planFile('  source: { ycql: { contactPoints: [10.0.0.11], consistency: «snapshot» } }'),
    '`consistency: scan`',
  ],
]);

const VALUES = cases([
  [
    'a duration with another unit',
    'BAD_DURATION',
    steps('    - flush: { wait: «5 minutes» }\n    - snapshot\n    - export\n    - upload'),
    '`5m`',
  ],
  [
    'a duration without unit',
    'BAD_DURATION',
    steps('    - flush: { wait: «5» }\n    - snapshot\n    - export\n    - upload'),
    '`5m`',
  ],
  [
    'no time at all',
    'BAD_DURATION',
    steps('    - flush: { wait: «0s» }\n    - snapshot\n    - export\n    - upload'),
  ],
  ['a size with another unit', 'BAD_SIZE', ysql('chunkSize: «64 MB»'), '`64MiB`'],
  ['a size out of bounds', 'BAD_SIZE', ysql('chunkSize: «1GiB»'), '256MiB'],
  ['a cron line of six fields', 'BAD_CRON', planFile('  schedule: { cron: "«0 0 2 * * *»" }'), 'seconds'],
  ['an hour that no day has', 'BAD_CRON', planFile('  schedule: { cron: "0 «25» * * *" }'), '0 to 23'],
  [
    'a range that ends before it begins',
    'BAD_CRON',
    planFile('  schedule: { cron: "0 2 * * «5-1»" }'),
    '1-5',
  ],
  ['a step of nothing', 'BAD_CRON', planFile('  schedule: { cron: "«*/0» * * * *" }')],
  ['a day that no month has', 'BAD_CRON', planFile('  schedule: { cron: ["0 2 «31 2,4» *"] }')],
  [
    'a day of the month with a weekday',
    'BAD_CRON',
    planFile('  schedule: { cron: "0 0 «13 * fri»" }'),
    '["0 0 13 * *", "0 0 * * fri"]',
  ],
  ['a question mark', 'BAD_CRON', planFile('  schedule: { cron: "0 0 «?» * fri" }'), 'Write `*`'],
  [
    'a look for databases too often',
    'OUT_OF_RANGE',
    ysql('databases: {}\n  discover: { every: «1s» }'),
    '10s',
  ],
  ['a look for what is not said', 'MISPLACED_KEY', planFile('  «discover»: {}'), 'databases:'],
  [
    'an archive of databases that come and go',
    'MISPLACED_KEY',
    ysql('databases: {}\n  discover: {}\n  «pointTime»: { archive: { lag: 5s } }'),
    'by hand',
  ],
  [
    'assertions that no copy can be asked',
    'MISPLACED_KEY',
    planFile(
      '  source: { ycql: { contactPoints: [db], consistency: scan } }\n  drill: { «assertions»: [{ sql: SELECT 1, expect: 1 }] }',
    ),
    'Leave `assertions` out',
  ],
  ['an unknown shorthand', 'BAD_CRON', planFile('  schedule: { cron: "«@dayly»" }'), '@daily'],
  [
    'an unknown zone',
    'BAD_TIMEZONE',
    planFile('  schedule: { cron: "@daily", timezone: «Europe/Berln» }'),
    'Europe/Berlin',
  ],
  [
    'a name with capitals',
    'BAD_NAME',
    planFile('', 'metadata: { name: «Orders Nightly» }'),
    '`orders-nightly`',
  ],
  [
    'a variable with its dollar',
    'BAD_NAME',
    planFile('  source: { ysql: { connection: { env: «$URL» } } }'),
    '`URL`',
  ],
  [
    'a bucket as a URL',
    'BAD_NAME',
    s3('').replace('bucket: backups, ', 'bucket: «s3://backups/yb»'),
    'prefix: yb',
  ],
  ['a region with spaces', 'BAD_NAME', s3('region: «eu west»'), 'eu-west-1'],
  ['a prefix with slashes at its ends', 'BAD_PATH', s3('prefix: «/yugabyte/»'), '`yugabyte`'],
  ['a relative directory', 'BAD_PATH', REPOSITORY.replace('/mnt/backups', '«backups»'), 'whole path'],
  ['an endpoint without scheme', 'BAD_URL', s3('endpoint: «minio:9000»'), 'https://'],
  ['a recipient that was mistyped', 'BAD_RECIPIENT', encrypted(`«${RECIPIENT.slice(0, -1)}q»`), 'age-keygen'],
  ['a public key of another kind', 'BAD_PUBLIC_KEY', signed('«ssh-rsa AAAAB3NzaC1yc2E= me»'), 'ssh-ed25519'],
  [
    'approvers who are one person',
    'WRONG_VALUE',
    signed(`"${PUBLIC_KEY} a"`).replace(
      / {2}signing.*/,
      `  deletion: { «approvers»: ["${PUBLIC_KEY} a", "${PUBLIC_KEY} b"] }`,
    ),
    'other people',
  ],
  [
    'half a public key',
    'BAD_PUBLIC_KEY',
    signed('«ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA»'),
    'holdfast keys signing',
  ],
  [
    'a private key in the place of its public one',
    'SECRET_IN_PLAIN_TEXT',
    signed('«-----BEGIN OPENSSH PRIVATE KEY----- b3BlbnNzaC1rZXk=»'),
    'Put the secret where',
  ],
  ['a recipient that is none', 'BAD_RECIPIENT', encrypted('«alice@example.com»'), 'age1'],
  [
    'a recipient of a plugin',
    'BAD_RECIPIENT',
    encrypted('«age1yubikey1qwt50d05nh5vutpdzmlg5wn80xq5negm4uj9ghv0snvdd3yysf5yw3rhl3t»'),
    'age-keygen',
  ],
  [
    'an identity in the place of its recipient',
    'SECRET_IN_PLAIN_TEXT',
    encrypted('«AGE-SECRET-KEY-1QQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQ»'),
    'new identity',
  ],
  [
    'a group of a bucket',
    'WRONG_VALUE',
    `${s3('region: eu-west-1')}  groupAccess: «read»\n`,
    'Remove `groupAccess`',
  ],
  ['a recipient twice', 'WRONG_VALUE', encrypted(`${RECIPIENT}, «${RECIPIENT}»`), 'Remove it'],
  [
    'encryption to nobody',
    'WRONG_VALUE',
    encrypted('').replace('recipients', '«recipients»'),
    'leave it out',
  ],
  [
    'encryption that no worker could read',
    'MISSING_KEY',
    encrypted(RECIPIENT).replace('encryption', '«encryption»').replace(', identity: { env: IDENTITY }', ''),
    'metadataIdentity',
  ],
  [
    'an unknown key of encryption',
    'UNKNOWN_KEY',
    encrypted(RECIPIENT).replace('identity:', '«identitty»: { env: X }, identity:'),
    'identity',
  ],
  ['a pattern with spaces around', 'BAD_PATTERN', ysql('tables: { include: ["«public.a »"] }')],
  [
    'a table without its schema',
    'PATTERN_MATCHES_NOTHING',
    ysql('tables: { exclude: [«orders»] }'),
    '`public.orders`',
  ],
  [
    'a table of the server itself',
    'PATTERN_MATCHES_NOTHING',
    ysql('tables: { include: ["«pg_catalog.*»"] }'),
  ],
  [
    'a name that is too long to exist',
    'PATTERN_MATCHES_NOTHING',
    ysql(`databases: { include: [«${'x'.repeat(64)}»] }`),
  ],
  [
    'what is included and excluded at once',
    'PATTERN_MATCHES_NOTHING',
    ysql('tables: { include: [public.keep, "«app.t?_*»"], exclude: ["app.t*"] }'),
    'Remove one',
  ],
]);

const SECRETS = cases([
  [
    'a connection with its password',
    'SECRET_IN_PLAIN_TEXT',
    planFile('  source: { ysql: { connection: «postgresql://u:hunter2@db/orders» } }'),
    '{ env: NAME }',
  ],
  [
    'a password that holds an at sign',
    'SECRET_IN_PLAIN_TEXT',
    planFile('  source: { ysql: { connection: "«postgresql://u:hun@ter2@db/orders»" } }'),
  ],
  [
    'a secret key of S3',
    ['SECRET_IN_PLAIN_TEXT', 'SECRET_IN_PLAIN_TEXT'],
    s3('credentials: { accessKeyId: «hunter2», secretAccessKey: «hunter2» }'),
  ],
  [
    'a webhook with a user',
    'SECRET_IN_PLAIN_TEXT',
    steps('    - snapshot\n    - export\n    - upload\n    - http: { url: "«https://hunter2@x.example/»" }'),
  ],
  [
    'a webhook that is a secret itself',
    'SECRET_IN_PLAIN_TEXT',
    steps(
      '    - snapshot\n    - export\n    - upload\n    - http: { url: "«https://hooks.slack.com/services/hunter2»" }',
    ),
  ],
  [
    'a statement with a password',
    'SECRET_IN_PLAIN_TEXT',
    steps(
      `    - snapshot\n    - export\n    - upload\n    - sql: { statement: "«ALTER ROLE u PASSWORD 'hunter2'»" }`,
    ),
  ],
]);

const NAMES_AND_STEPS = cases([
  ['an unknown repository', 'UNKNOWN_REPOSITORY', planFile('  repository: «mian»'), '`main`?'],
  [
    'a copy to an unknown repository',
    'UNKNOWN_REPOSITORY',
    steps('    - snapshot\n    - export\n    - upload\n    - copy: { to: «elsewhere» }'),
    'kind: Repository',
  ],
  [
    'a copy to where the backup is',
    'COPY_TO_ITSELF',
    steps('    - snapshot\n    - export\n    - upload\n    - copy: { to: «main» }'),
  ],
  [
    'a copy in the clear of what is encrypted',
    'COPY_IN_THE_CLEAR',
    `${encrypted(RECIPIENT)}---\n${steps('    - snapshot\n    - export\n    - upload\n    - copy: { to: «clear» }').replace('name: main', 'name: clear').replace('{ directory: /mnt/backups }', '{ directory: /mnt/clear }')}`,
    'encryption',
  ],
  ['two repositories of one name', 'DUPLICATE_NAME', `${REPOSITORY}${REPOSITORY.replace('main', '«main»')}`],
  [
    'two steps of one id',
    'DUPLICATE_NAME',
    steps(
      '    - snapshot\n      id: a'.replace('snapshot', 'snapshot:') +
        '\n    - export:\n      id: «a»\n    - upload',
    ),
  ],
  ['two snapshots', 'DUPLICATE_STEP', steps('    - snapshot\n    - «snapshot»\n    - export\n    - upload')],
  [
    'the wrong order',
    'STEP_ORDER',
    steps('    - snapshot\n    - «upload»\n    - export'),
    'Move `export` above `upload`',
  ],
  [
    'an input that is not waited for',
    'STEP_ORDER',
    steps('    - snapshot\n    - export\n    - upload\n    - «verify»:\n      needs: [export]'),
    'Add `upload`',
  ],
  ['an input that nothing gives', 'MISSING_INPUT', steps('    - snapshot\n    - «upload»'), '- export'],
  [
    'an input that may not be there',
    'MISSING_INPUT',
    steps('    - snapshot\n    - export\n    - upload\n    - «verify»:\n      when: always'),
    'Remove its `when`',
  ],
  [
    'an unknown step',
    'UNKNOWN_STEP',
    steps('    - snapshot\n    - export\n    - upload\n    - verify:\n      needs: [upload, «uplaod»]'),
    '`upload`?',
  ],
  [
    'a step that needs itself',
    'NEEDS_CYCLE',
    steps('    - snapshot\n    - export\n    - upload\n    - flush:\n      needs: [«flush»]'),
  ],
  [
    'steps that need each other',
    'NEEDS_CYCLE',
    steps(
      '    - snapshot\n    - export\n    - upload\n    - flush:\n      needs: [«sql»]\n    - sql: { statement: SELECT 1 }\n      needs: [flush]',
    ),
  ],
  [
    'success that waits for failure',
    'NEVER_RUNS',
    steps(
      '    - snapshot\n    - export\n    - upload\n    - http: { url: "https://x.example" }\n      when: failure\n    - verify:\n      needs: [upload, «http»]',
    ),
  ],
  ['a plan that backs nothing up', 'NO_BACKUP', steps('    - «flush»'), 'leave `steps` out'],
]);

const WINDOWS = cases([
  ['a window without a hyphen', 'BAD_WINDOW', planFile('  window: «at night»'), '`22:00-05:00`'],
  [
    'a window of no length',
    'BAD_WINDOW',
    planFile('  window: [22:00-05:00, «05:00-05:00»]'),
    'leave `window` out',
  ],
]);

const template = (spec: string, use = 'name: nightly'): string =>
  `${REPOSITORY}apiVersion: holdfast/v1\nkind: PlanTemplate\nmetadata: { name: nightly }\nspec:\n${spec}\n---\n` +
  `apiVersion: holdfast/v1\nkind: BackupPlan\nmetadata: { name: orders }\nspec:\n  source: { ysql: { connection: { env: URL } } }\n  template: { ${use} }\n`;

const TEMPLATES = cases([
  [
    'an unknown template',
    'UNKNOWN_TEMPLATE',
    template('  plan: { repository: main }', 'name: «nigthly»'),
    '`nightly`?',
  ],
  [
    'a template of a template',
    'TEMPLATE_IN_TEMPLATE',
    template('  plan: { repository: main, «template»: { name: other } }'),
    'Write out',
  ],
  [
    'a parameter that the template does not declare',
    'UNKNOWN_PARAMETER',
    template(
      '  parameters: { team: {} }\n  plan: { repository: "«${taem}»" }',
      'name: nightly, parameters: { team: a }',
    ),
    '`team`?',
  ],
  [
    'a parameter that the plan invents',
    'UNKNOWN_PARAMETER',
    template('  plan: { repository: main }', 'name: nightly, parameters: { «team»: a }'),
    'no parameters',
  ],
  [
    'a parameter that is not closed',
    'UNKNOWN_PARAMETER',
    template(
      '  parameters: { team: {} }\n  plan: { repository: "«${team»" }',
      'name: nightly, parameters: { team: a }',
    ),
    '`$${`',
  ],
  [
    'a parameter in a key',
    'UNKNOWN_PARAMETER',
    template('  parameters: { team: { default: a } }\n  plan: { "«${team}»": main, repository: main }'),
    'Write the key out',
  ],
  [
    'a parameter without a value',
    'MISSING_PARAMETER',
    template('  parameters: { team: {} }\n  plan: { repository: "${team}" }', 'name: «nightly»'),
    '`team: …`',
  ],
  [
    'a required parameter with a default',
    'WRONG_VALUE',
    template(
      '  parameters: { team: { default: main, required: «true» } }\n  plan: { repository: "${team}" }',
    ),
  ],
  [
    'a name that is no parameter',
    'BAD_NAME',
    template('  parameters: { «9»: { default: main } }\n  plan: { repository: main }'),
    'letter',
  ],
  [
    'a secret in a template',
    'SECRET_IN_PLAIN_TEXT',
    template(
      '  plan: { repository: main, notify: [{ slack: "«https://hooks.slack.com/services/hunter2»" }] }',
    ),
  ],
]);

const CASES = [...SYNTAX, ...SHAPE, ...VALUES, ...SECRETS, ...NAMES_AND_STEPS, ...WINDOWS, ...TEMPLATES];

describe('an error is reported at its place, with what to write', () => {
  test.each(CASES)('$wrong', ({ codes, file, remedy }) => {
    const { text, marks } = unmark(file);
    const { diagnostics, plans } = compile([asFile(text)]);
    expect(diagnostics.map(({ code }) => code)).toEqual(codes);
    for (const [
      index,
      { line, column, endLine, endColumn, message, remedy: written },
    ] of diagnostics.entries()) {
      const mark = marks[index];
      expect({ line, column }).toEqual({ line: mark?.line, column: mark?.column });
      if (mark?.text !== '' && endLine === line) expect(endColumn - column).toBe(mark?.text.length);
      expect(message).not.toBe('');
      expect(written).toContain(remedy);
    }
    expect(plans).toEqual([]);
  });

  test('every class of error that a text can hold is in the table', () => {
    const tested = new Set(CASES.flatMap(({ codes }) => codes));
    const elsewhere = ['FILE_TOO_LARGE', 'TOO_COMPLEX', 'BROKEN_REPOSITORY', 'BROKEN_TEMPLATE'];
    const ofFiles = ['FILE_NOT_FOUND', 'FILE_IS_DIRECTORY', 'FILE_UNREADABLE', 'FILE_NOT_UTF8'];
    expect(DIAGNOSTIC_CODES.filter((code) => !tested.has(code)).sort()).toEqual(
      [...elsewhere, ...ofFiles].sort(),
    );
  });
});

describe('a secret in plain text', () => {
  test.each(SECRETS)('$wrong is shown nowhere', (secret) => {
    const file = asFile(unmark(secret.file).text);
    const { diagnostics } = compile([file]);
    const shown = renderDiagnostics(diagnostics, [file], { color: false }) + JSON.stringify(diagnostics);
    expect(shown).toContain('••••');
    expect(shown).not.toContain('hunter2');
    expect(shown).not.toContain('ter2');
  });

  test('is covered when another error is on its line', () => {
    const file = asFile(
      planFile('  source: { ysql: { connection: { env: URL }, password: hunter2, tabels: {} } }'),
    );
    const { diagnostics } = compile([file]);
    expect(diagnostics.map(({ code }) => code)).toEqual([
      'UNKNOWN_KEY',
      'SECRET_IN_PLAIN_TEXT',
      'UNKNOWN_KEY',
    ]);
    expect(renderDiagnostics(diagnostics, [file], { color: false })).not.toContain('hunter2');
  });
});

describe('texts that are made to exhaust the compiler are refused quickly', () => {
  const bomb = Array.from({ length: 9 }, (_, level) =>
    level === 0
      ? 'a0: &a0 [x, x, x, x, x, x, x, x, x]'
      : `a${level}: &a${level} [${Array(9)
          .fill(`*a${level - 1}`)
          .join(', ')}]`,
  ).join('\n');
  const chain = Array.from({ length: 1000 }, (_, link) =>
    link === 0 ? 'a0: &a0 x' : `a${link}: &a${link} [*a${link - 1}]`,
  ).join('\n');
  const startsOfUrls = `metadata: { name: "${'a://b:'.repeat(100_000)}" }`;
  test.each<readonly [string, DiagnosticCode, string]>([
    ['starts of URLs without end', 'MISSING_KEY', startsOfUrls],
    ['a file of 10 MB', 'FILE_TOO_LARGE', 'a: b\n'.repeat(2_000_000)],
    ['aliases that stand for billions of values', 'ALIAS_BOMB', bomb],
    ['a chain of anchors', 'ALIAS_BOMB', chain],
    ['brackets without end', 'TOO_COMPLEX', '['.repeat(10_000)],
    ['a list of lists of lists', 'TOO_COMPLEX', '- '.repeat(1_000)],
    [
      'more keys than a plan can have',
      'TOO_COMPLEX',
      Array.from({ length: 15_000 }, (_, key) => `k${key}: 1`).join('\n'),
    ],
    ['commas without end', 'TOO_COMPLEX', `[${','.repeat(30_000)}]`],
  ])('%s', (_, code, text) => {
    const { diagnostics } = compile([asFile(text)]);
    expect(diagnostics.map((diagnostic) => diagnostic.code)).toContain(code);
  });
});

test('one run shows all errors of all files, in the order of files and lines', () => {
  const first = asFile(
    planFile('  schedule: { cron: "61 * * * *" }\n  retention: { keepLast: 0 }'),
    'a.yaml',
  );
  const second = asFile(
    steps('    - upload\n    - copy: { to: nowhere }').replace('name: main', 'name: other'),
    'b.yaml',
  );
  const { diagnostics } = compile([first, second]);
  expect(diagnostics.map(({ file, line, code }) => `${file}:${line} ${code}`)).toEqual([
    'a.yaml:12 BAD_CRON',
    'a.yaml:13 OUT_OF_RANGE',
    'b.yaml:8 DUPLICATE_NAME',
    'b.yaml:13 MISSING_INPUT',
    'b.yaml:14 UNKNOWN_REPOSITORY',
  ]);
});

test('an error behind an anchor is one error, however often an alias repeats it', () => {
  const text = steps(
    '    - snapshot\n    - export: &long { timeout: 5 hours }\n    - upload: *long\n    - verify: *long',
  );
  expect(compile([asFile(text)]).diagnostics).toHaveLength(1);
});
