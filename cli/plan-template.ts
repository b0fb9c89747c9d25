/** Name of the JSON Schema file beside the plans. The first line of a plan names it. */
export const SCHEMA_FILE = 'holdfast.schema.json';

/** What is known of a new plan. */
export interface PlanDraft {
  readonly name?: string;
  readonly connectionEnv?: string;
  readonly directory?: string;
  readonly bucket?: string;
  readonly prefix?: string;
  readonly region?: string;
  readonly endpoint?: string;
  readonly cron?: string;
  readonly timezone?: string;
}

/** All that a plan file needs. */
export interface PlanAnswers extends PlanDraft {
  readonly name: string;
  readonly connectionEnv: string;
}

/** The text of a new plan file, with comments for its next reader. */
export function planTemplate(answers: PlanAnswers): string {
  const { name, connectionEnv } = answers;
  const repository = `${name.slice(0, 50)}-backups`;
  return `# yaml-language-server: $schema=${SCHEMA_FILE}
#
# Needs: ${connectionEnv} in the environment of the worker, a postgresql:// URL.
# Check it with \`holdfast validate\`, see what it does with \`holdfast explain\`, run it with \`holdfast backup\`.
apiVersion: holdfast/v1
kind: Repository
metadata: { name: ${scalar(repository)} }
spec:
${place(answers)}
---
# yaml-language-server: $schema=${SCHEMA_FILE}
apiVersion: holdfast/v1
kind: BackupPlan
metadata: { name: ${scalar(name)} }
spec:
  source:
    ysql:
      # Secrets are named, never written: from the environment (env) or a file (file) of the worker.
      connection: { env: ${scalar(connectionEnv)} }
      # tables: { exclude: ["public.tmp_*"] }   # globs over schema.table
      # globals: roles                          # roles and tablespaces too
  repository: ${scalar(repository)}
${schedule(answers)}
  # How many backups are kept; without it, all of them.
  retention: { keepLast: 3, keepDaily: 7, keepWeekly: 5, keepMonthly: 12 }
  # The steps of a backup. These are the standard ones, which also run where \`steps\` is left out.
  steps:
    - flush                        # wait for changes of the schema under way to end
    - snapshot                     # pin the one instant that everything below reads
    - export                       # write the schema, cut the tables into chunks
    - upload: { parallelism: 2 }   # stream the chunks, then write the manifest
    - verify: { level: checksums } # or exists, content, restore
    # - http: { url: { env: ONCALL_HOOK } }
    #   when: failure
`;
}

function place({ directory, bucket, prefix, region, endpoint }: PlanAnswers): string {
  if (bucket === undefined)
    return `  directory: ${scalar(directory ?? '')}   # every worker must see it under this path`;
  const lines = Object.entries({ bucket, prefix, region, endpoint }).flatMap(([key, value]) =>
    value === undefined ? [] : [`    ${key}: ${scalar(value)}`],
  );
  return ['  s3:', ...lines].join('\n');
}

function schedule({ cron, timezone = 'UTC' }: PlanAnswers): string {
  if (cron === undefined) return '  # schedule: { cron: "0 2 * * *", timezone: UTC, overlap: skip }';
  return `  schedule: { cron: ${JSON.stringify(cron)}, timezone: ${scalar(timezone)}, overlap: skip }`;
}

/** A text as YAML: plain if YAML can't read it as anything else, otherwise in double quotes. */
function scalar(text: string): string {
  const isPlain = /^[A-Za-z/_][\w./-]*$/.test(text) && !/^(true|false|null|yes|no|on|off)$/i.test(text);
  return isPlain ? text : JSON.stringify(text);
}
