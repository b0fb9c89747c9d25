import { defined } from '../model/defined.ts';
import type { HttpRequest } from '../model/http-request.ts';
import type { Audience, MailRequest, Notification, NotifyTarget } from '../model/notification.ts';
import type { CompiledPlan } from '../model/pipeline.ts';

/** Whom the runs of a plan tell of their ends. Nothing where the plan has nobody to tell. */
export function audienceOf({ notify, pipeline }: CompiledPlan): Audience {
  return notify === undefined ? {} : { notify, labels: pipeline.labels };
}

/** A call that delivers a notification: the request and its body, as JSON or as text. */
export interface Delivery {
  readonly request: HttpRequest;
  readonly body: Readonly<Record<string, unknown>> | string;
}

/**
 * The call that delivers a notification to a receiver on the web.
 *
 * @param messageId the same for every try
 */
export function deliveryTo(
  target: Exclude<NotifyTarget, { readonly kind: 'email' }>,
  notification: Notification,
  messageId: string,
): Delivery {
  const { kind, url, reach } = target;
  const request: HttpRequest = { url, method: 'POST', ...defined({ reach }) };
  switch (kind) {
    case 'slack':
      return { request, body: slackMessage(notification) };
    case 'ping':
      return {
        request: { ...request, contentType: 'text/plain; charset=utf-8', suffix: suffixOf(notification) },
        body: notification.headline,
      };
    case 'webhook': {
      const signed = { ...request, messageId, ...defined({ secret: target.secret }) };
      if (target.format === undefined) return { request: signed, body: { ...notification } };
      return {
        request: { ...signed, contentType: 'application/cloudevents+json; charset=utf-8' },
        body: cloudEvent(notification, messageId),
      };
    }
  }
}

/** The convention of healthchecks.io, which other services share: the address itself means success. */
function suffixOf({ type }: Notification): string {
  if (type === 'backup.started') return '/start';
  return type === 'backup.completed' ? '' : '/fail';
}

/** A CloudEvent in structured mode (CloudEvents 1.0.2, JSON format). `source` and `id` together name the event. */
function cloudEvent(notification: Notification, id: string): Readonly<Record<string, unknown>> {
  const { plan, backup, workflowId, at } = notification;
  return {
    specversion: '1.0',
    id,
    source: `/holdfast/plans/${plan}`,
    type: `io.holdfast.${nameOf(notification)}`,
    subject: backup ?? workflowId,
    time: at,
    datacontenttype: 'application/json',
    data: notification,
  };
}

/** The e-mail of a notification: plain text for a person. */
export function mailOf(notification: Notification): Pick<MailRequest, 'subject' | 'text'> {
  const { plan, headline, ok, error, facts, labels, workflowId, at } = notification;
  const lines = Object.entries({
    Plan: plan,
    Event: nameOf(notification),
    When: at,
    Run: workflowId,
    ...(error === undefined ? {} : { Error: error.code }),
    ...facts,
    ...labels,
  }).map(([name, value]) => `${name}: ${value}`);
  const advice =
    error === undefined
      ? `To see how the plan stands: holdfast status ${plan}`
      : `To see how the plan stands: holdfast status ${plan}\nWhat the error means is in docs/errors.md, under ${error.code}.`;
  return {
    subject: cut(`[Holdfast] ${ok ? '' : 'PROBLEM: '}${plan}: ${titleOf(notification)}`, LONGEST_SUBJECT),
    text: [headline, '', ...lines, '', advice, ''].join('\n'),
  };
}

const LONGEST_SUBJECT = 150;

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

/** What happened, in words: `backup failed`. */
function titleOf(notification: Notification): string {
  return nameOf(notification).replaceAll(/[.-]/g, ' ');
}

/** The name of the event. A run of an older version gives its group alone. */
function nameOf({ type, event }: Notification): string {
  return type ?? event;
}

/** Escapes the characters that Slack takes for markup. */
function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

function cut(text: string, longest: number): string {
  return text.length <= longest ? text : `${text.slice(0, longest - 1)}…`;
}
