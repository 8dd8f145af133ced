// The one script of the keeper's own pages: it asks the person's authenticator and hands what it says to the form, which the
// office's own node then judges. It decides nothing and keeps nothing.

const bytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));

const text = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

/// lv16(authenticatorData) || lv16(clientDataJSON) || lv16(signature), base64url.
function container(response) {
  const parts = [response.authenticatorData, response.clientDataJSON, response.signature].map((part) => new Uint8Array(part));
  const joined = parts.flatMap((part) => [part.length >> 8, part.length & 255, ...part]);
  return text(Uint8Array.from(joined));
}

async function assertion(rpId, challenge, credentials) {
  const publicKey = {
    rpId,
    challenge: bytes(challenge),
    allowCredentials: credentials.map((id) => ({ type: "public-key", id: bytes(id) })),
    userVerification: "required",
    timeout: 120_000,
  };
  const credential = await navigator.credentials.get({ publicKey });
  return { credential: text(credential.rawId), assertion: container(credential.response) };
}

const ceremonies = {
  async "sign-in"(form) {
    return assertion(form.dataset.rp, form.dataset.challenge, form.dataset.credentials.split(" "));
  },

  /// The challenge is the fingerprint of the paper that the page shows.
  async paper({ dataset: { rp, challenge, credential } }) {
    const { assertion: signed } = await assertion(rp, challenge, [credential]);
    return { assertion: signed };
  },

  /// What is signed is made by the node for exactly this request and answer; the challenge is its fingerprint.
  async answer(form) {
    const said = new FormData(form);
    const body = new URLSearchParams({ csrf: said.get("csrf"), verdict: said.get("verdict") });
    const answer = await fetch(form.dataset.prepare, { method: "POST", body, redirect: "error" });
    if (!answer.ok) throw Object.assign(new Error("the office did not prepare an answer"), { gone: true });
    const { decision, challenge, rp_id: rpId, credentials } = await answer.json();
    return { decision, ...(await assertion(rpId, challenge, credentials)) };
  },

  /// Makes a passkey and shows at once that it works. ES256 and Ed25519 are the algorithms that the keeper can verify.
  async enrol(form) {
    const { rp, name, user, challenge, shown } = form.dataset;
    const publicKey = {
      rp: { id: rp, name: rp },
      user: { id: bytes(user), name, displayName: name },
      challenge: bytes(challenge),
      pubKeyCredParams: [-7, -8].map((alg) => ({ type: "public-key", alg })),
      authenticatorSelection: { residentKey: "preferred", userVerification: "required" },
      attestation: "none",
      timeout: 120_000,
    };
    const made = await navigator.credentials.create({ publicKey });
    const proof = await assertion(rp, shown, [text(made.rawId)]);
    return {
      authenticator: text(made.response.getAuthenticatorData()),
      client: text(made.response.clientDataJSON),
      assertion: proof.assertion,
    };
  },
};

for (const form of document.querySelectorAll("form.passkey")) {
  const button = form.querySelector("button.sign");
  const said = form.querySelector(".said");
  const say = (words, bad) => {
    said.textContent = words;
    said.classList.toggle("bad", bad);
  };
  button.disabled = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    say(form.dataset.wait, false);
    try {
      for (const [name, value] of Object.entries(await ceremonies[form.dataset.ceremony](form))) {
        form.elements.namedItem(name).value = value;
      }
      form.submit();
    } catch (error) {
      say(error.gone ? form.dataset.gone : form.dataset.failed, true);
      button.disabled = false;
    }
  });
}
