// An identity provider of the world, `oidc-provider`, with two people and three clients: the gateway,
// a program that has a secret (`robot`), and one at the command line that has none (`cli`).
//
//   node oidc.mjs --issuer http://127.0.0.1:PORT --sign-in https://login.example.com --secret TEXT
//
// Standard input is the socket that it takes connections from, so that its port is known to others
// before it starts. --sign-in is the origin of the gateway's sign-in host, which is its first client; with
// NODE_EXTRA_CA_CERTS it takes the gateway's certificate. Ann is of the group staff, and Bob is of none;
// who asks for the `acr` gold has them sign in once more, and Ann has what it takes.
//
// Printed to standard error: `listening`, and a line for each logout token, `logout taken` or `logout
// refused`.

import dns from 'node:dns';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { parseArgs } from 'node:util';
import { text as all } from 'node:stream/consumers';

const { default: Provider, interactionPolicy } = await import('oidc-provider').catch(() => {
  console.error('oidc-provider is missing: `make test-tools`, or `npm ci` in tests/e2e/node, brings it');
  process.exit(2);
});

const { values } = parseArgs({
  options: {
    issuer: { type: 'string' },
    'sign-in': { type: 'string' },
    secret: { type: 'string' },
  },
});

const PEOPLE = {
  ann: { name: 'Ann Example', groups: ['staff'], gold: true },
  bob: { name: 'Bob Example', groups: [] },
};

// Names below localhost are this machine (RFC 6761 section 6.3), which the system does not know.
const { lookup } = dns;
dns.lookup = (name, ...rest) => lookup(name.endsWith('.localhost') ? '127.0.0.1' : name, ...rest);

const DEVICE = 'urn:ietf:params:oauth:grant-type:device_code';

const key = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' });
const ours = (path) => `${values['sign-in']}/.appproxy/${path}`;

const { Check } = interactionPolicy;
const policy = interactionPolicy.base();
policy.get('login').checks.add(new Check('step_up', 'more proof is wanted', ({ oidc }) => {
  const wanted = oidc.params.acr_values?.split(' ');
  return Boolean(wanted) && !oidc.result?.login && !wanted.includes(oidc.session.acr);
}));

const provider = new Provider(values.issuer, {
  clients: [{
    client_id: 'appproxy',
    client_secret: values.secret,
    redirect_uris: [ours('callback')],
    post_logout_redirect_uris: [ours('signed-out')],
    backchannel_logout_uri: ours('back-channel/corp'),
    backchannel_logout_session_required: true,
    grant_types: ['authorization_code', 'refresh_token'],
  }, {
    client_id: 'robot',
    client_secret: values.secret,
    redirect_uris: [],
    response_types: [],
    grant_types: ['client_credentials'],
  }, {
    client_id: 'cli',
    token_endpoint_auth_method: 'none',
    redirect_uris: [],
    response_types: [],
    grant_types: [DEVICE],
  }],
  jwks: { keys: [{ ...key, use: 'sig', alg: 'RS256', kid: 'one' }] },
  cookies: { keys: [randomBytes(32).toString('hex')] },
  claims: { openid: ['sub', 'amr'], email: ['email', 'email_verified'], profile: ['name', 'groups'] },
  acrValues: ['gold'],
  interactions: { policy },
  pkce: { required: () => true },
  issueRefreshToken: (_, client) => client.grantTypeAllowed('refresh_token'),
  findAccount: (_, accountId) => PEOPLE[accountId] && {
    accountId,
    claims: () => ({
      sub: accountId,
      email: `${accountId}@example.com`,
      email_verified: true,
      ...PEOPLE[accountId],
    }),
  },
  // Whoever signs in agrees to everything that is asked for.
  async loadExistingGrant({ oidc: { client, session, requestParamScopes, resourceServers } }) {
    const grant = new provider.Grant({ clientId: client.clientId, accountId: session.accountId });
    grant.addOIDCScope([...requestParamScopes].join(' '));
    for (const resource of Object.keys(resourceServers)) {
      grant.addResourceScope(resource, [...requestParamScopes].join(' '));
    }
    await grant.save();
    return grant;
  },
  // What it sends never goes to this machine by itself: an operator has to say so.
  fetch: (url, { dispatcher, ...options }) => fetch(url, options),
  extraTokenClaims: (_, { accountId }) => accountId && {
    groups: PEOPLE[accountId].groups,
    email: `${accountId}@example.com`,
    email_verified: true,
  },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    deviceFlow: { enabled: true },
    // Access tokens for an API are JSON Web Tokens (RFC 9068) for whoever is named (RFC 8707).
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (_, audience) => ({
        audience,
        scope: 'wiki.read wiki.write',
        accessTokenFormat: 'jwt',
        accessTokenTTL: 300,
        jwt: { sign: { alg: 'RS256' } },
      }),
    },
    backchannelLogout: { enabled: true },
    rpInitiatedLogout: {
      enabled: true,
      logoutSource: (ctx, form) => page(ctx, 'Do you want to sign out here too?', `${form}
        <button form="op.logoutForm" name="logout" value="yes">Yes</button>
        <button form="op.logoutForm">No</button>`),
      postLogoutSuccessSource: (ctx) => page(ctx, 'You have signed out here.'),
    },
  },
  renderError: (ctx, out) => page(ctx, 'That did not work.', `<pre>${JSON.stringify(out)}</pre>`),
});

provider.on('backchannel.success', () => console.error('logout taken'));
provider.on('backchannel.error', (_, error) => console.error(`logout refused: ${error.stack}`));
provider.on('server_error', (_, error) => console.error(error.stack));

// Asks who somebody is, and believes it.
provider.use(async (ctx, next) => {
  if (!ctx.path.startsWith('/interaction/')) {
    await next();
    return;
  }
  ctx.set('cache-control', 'no-store');
  try {
    await provider.interactionDetails(ctx.req, ctx.res);
  } catch {
    page(ctx, 'This sign-in is over.');
    ctx.status = 400;
    return;
  }
  if (ctx.method === 'POST') {
    const accountId = new URLSearchParams(await all(ctx.req)).get('account');
    const { params } = await provider.interactionDetails(ctx.req, ctx.res);
    const gold = params.acr_values && PEOPLE[accountId].gold;
    const proof = gold ? { acr: 'gold', amr: ['pwd', 'otp'] } : { amr: ['pwd'] };
    const login = { accountId, ...proof };
    ctx.redirect(await provider.interactionResult(ctx.req, ctx.res, { login }));
    ctx.status = 303;
    return;
  }
  const buttons = Object.entries(PEOPLE).map(
    ([account, { name }]) => `<button name="account" value="${account}">${name}</button>`,
  );
  page(ctx, 'Who are you?', `<form method="post">${buttons.join('\n')}</form>`);
});

createServer(provider.callback()).listen({ fd: 0 }, () => console.error('listening'));

function page(ctx, title, text = '') {
  ctx.type = 'html';
  ctx.body = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>${title}</title>
<h1>${title}</h1>
${text}`;
}
