import type { Notification, NotifyTarget } from '../model/notification.ts';

/** The JSON body of a notification for one receiver. */
export function notificationBody(
  kind: NotifyTarget['kind'],
  notification: Notification,
): Readonly<Record<string, unknown>> {
  return kind === 'slack' ? slackMessage(notification) : { ...notification };
}

/** Slack's limits, with some room: 150 characters in a header, 3,000 in a text, 2,000 in a field, 10 fields. */
const LONGEST_HEADER = 150;
const LONGEST_TEXT = 2_900;
const LONGEST_FIELD = 1_900;
const MAX_FIELDS = 10;

/**
 * A message of Slack's Block Kit (https://api.slack.com/reference/block-kit). `text` is what a phone's notification
 * shows; the blocks are the message.
 */
function slackMessage(notification: Notification): Readonly<Record<string, unknown>> {
  const { plan, headline, ok, error, facts, workflowId, at } = notification;
  const mark = ok ? ':white_check_mark:' : ':rotating_light:';
  const fields = Object.entries(facts)
    .slice(0, MAX_FIELDS)
    .map(([name, value]) => ({
      type: 'mrkdwn',
      text: cut(`*${escaped(name)}*\n${escaped(value)}`, LONGEST_FIELD),
    }));
  return {
    text: cut(`${mark} ${escaped(plan)}: ${escaped(headline)}`, LONGEST_TEXT),
    blocks: [
      {
        type: 'header',
        text: { type: 'plain_text', text: cut(`${plan}: ${titleOf(notification)}`, LONGEST_HEADER) },
      },
      { type: 'section', text: { type: 'mrkdwn', text: cut(`${mark} ${escaped(headline)}`, LONGEST_TEXT) } },
      ...(error === undefined
        ? []
        : [
            {
              type: 'section',
              text: { type: 'mrkdwn', text: cut(`\`${escaped(error.code)}\``, LONGEST_TEXT) },
            },
          ]),
      ...(fields.length === 0 ? [] : [{ type: 'section', fields }]),
      { type: 'context', elements: [{ type: 'mrkdwn', text: `${escaped(workflowId)} · ${at}` }] },
    ],
  };
}

function titleOf({ event, ok }: Notification): string {
  switch (event) {
    case 'success':
      return 'backup done';
    case 'failure':
      return 'backup failed';
    case 'refused':
      return 'request refused';
    case 'drill':
      return ok ? 'drill passed' : 'drill did not pass';
  }
}

/** Escapes the characters that Slack takes for markup. */
function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

function cut(text: string, longest: number): string {
  return text.length <= longest ? text : `${text.slice(0, longest - 1)}…`;
}
