"""The official `openai` package against a gateway: what its users see, scenario by scenario.

Prints `ok NAME` or `FAILED NAME: why` for each scenario and ends non-zero if one failed. The gateway serves the mock
provider below /inline, /secret and /passthrough, with a wrong key below /wrong-key and with a missing one below /missing.
The mock provider takes the field `user` for instructions on how to misbehave.
"""

import argparse
import asyncio
import json
import sys
import time
import urllib.request

import openai

MODEL = "gpt-4o-mini"
MESSAGES = [{"role": "user", "content": "Compose a poem that explains recursion."}]


class World:
    """Where the gateway and the provider's journal are."""

    def __init__(self, root, journal, key):
        self.root, self.journal_url, self.key = root.rstrip("/"), journal, key

    def settings(self, route, key="sk-the-clients-own", **more):
        return {"base_url": f"{self.root}/{route}/v1", "api_key": key, "max_retries": 0, "timeout": 20.0, **more}

    def client(self, route="inline", key="sk-the-clients-own", **more):
        return openai.OpenAI(**self.settings(route, key, **more))

    def last_request(self):
        with urllib.request.urlopen(self.journal_url, timeout=5) as answer:
            journal = json.load(answer)
        return journal[-1]


def check(condition, *seen):
    if not condition:
        raise AssertionError(f"unexpected: {seen}")


def expect(kind, call):
    """The exception of exactly this kind that the call raises."""
    try:
        call()
    except kind as error:
        check(type(error) is kind or kind is openai.APIStatusError, type(error), error)
        return error
    raise AssertionError(f"no {kind.__name__}")


def ask(client, **more):
    return client.chat.completions.create(model=MODEL, messages=MESSAGES, **more)


def check_completion(world, client):
    completion = ask(client)
    check(completion.object == "chat.completion", completion)
    check("recursion" in completion.choices[0].message.content, completion)
    check(completion.usage.total_tokens == 239, completion.usage)
    keys = [value for name, value in world.last_request()["headers"] if name == "authorization"]
    check(keys == [f"Bearer {world.key}"], "the provider got another credential")


def plain_inline(world):
    check_completion(world, world.client("inline"))


def plain_secret(world):
    check_completion(world, world.client("secret"))


def plain_passthrough(world):
    check_completion(world, world.client("passthrough", key=world.key))


def streaming(world):
    stream = ask(world.client(), stream=True, stream_options={"include_usage": True}, user="frames=12")
    chunks = list(stream)
    check(len(chunks) == 13, len(chunks))
    check(chunks[-1].choices == [] and chunks[-1].usage.completion_tokens == 12, chunks[-1])
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1])
    check(text.startswith("In the world of code"), text)
    check(chunks[-2].choices[0].finish_reason == "stop", chunks[-2])


def asynchronous(world):
    async def talk():
        async with openai.AsyncOpenAI(**world.settings("inline")) as client:
            answers = await asyncio.gather(*(ask(client) for _ in range(20)))
            stream = await ask(client, stream=True)
            return answers, [chunk async for chunk in stream]

    answers, chunks = asyncio.run(talk())
    check(len({answer.id for answer in answers}) == 20, answers)
    check(len(chunks) == 10, chunks)


def auth_error(world):
    error = expect(openai.AuthenticationError, lambda: ask(world.client("wrong-key")))
    # The gateway's words, not the provider's: providers quote parts of the key that they refuse.
    check(error.code == "invalid_api_key" and "refused the gateway's credential" in error.message, error)


def provider_error(world):
    error = expect(openai.InternalServerError, lambda: ask(world.client(), user="fail=500"))
    check(error.status_code == 500 and "had an error" in error.message, error)


def missing_credential(world):
    error = expect(openai.APIStatusError, lambda: ask(world.client("missing")))
    check(error.status_code == 503, error)
    # The body was understood as an error, not pasted as text: message and type are there.
    check(isinstance(error.body, dict) and error.body.get("message") and error.body.get("type"), error.body)
    check("credential" in error.message, error.message)


def missing_token(world):
    # The package does not start without a key; one with a blank in it is no token.
    error = expect(openai.AuthenticationError, lambda: ask(world.client("passthrough", key="two words")))
    check(error.response.headers.get("www-authenticate", "").startswith("Bearer"), dict(error.response.headers))


def timeout(world):
    started = time.monotonic()
    expect(openai.APITimeoutError, lambda: ask(world.client(timeout=0.5), user="hang"))
    check(time.monotonic() - started < 5, "took too long")


def cancellation(world):
    with ask(world.client(), stream=True, user="frames=1000,gap=20") as stream:
        for index, _ in enumerate(stream):
            if index == 2:
                break
    wait_until("the provider notices that the client left", lambda: world.last_request()["left_early"])


def embeddings(world):
    for encoding in ("float", openai.NOT_GIVEN):
        answer = world.client().embeddings.create(model="text-embedding-3-small", input=["one", "two"], encoding_format=encoding)
        check(len(answer.data) == 2 and len(answer.data[0].embedding) == 8, answer)
    check(answer.usage.total_tokens == 8, answer.usage)


def models(world):
    names = [model.id for model in world.client().models.list()]
    check(MODEL in names, names)


SCENARIOS = [
    plain_inline,
    plain_secret,
    plain_passthrough,
    streaming,
    asynchronous,
    auth_error,
    provider_error,
    missing_credential,
    missing_token,
    timeout,
    cancellation,
    embeddings,
    models,
]


def wait_until(what, ask_again):
    deadline = time.monotonic() + 5
    while not ask_again():
        check(time.monotonic() < deadline, f"{what}: not in time")
        time.sleep(0.05)


def run(scenario, world):
    try:
        scenario(world)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the scenario's outcome
        print(f"FAILED {scenario.__name__}: {type(error).__name__}: {error}", flush=True)
        return False
    print(f"ok {scenario.__name__}", flush=True)
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", required=True, help="URL of the gateway")
    parser.add_argument("--journal", required=True, help="URL of the mock provider's journal")
    parser.add_argument("--key", required=True, help="the key that the provider accepts")
    parser.add_argument("scenarios", nargs="*", help=f"some of: {', '.join(s.__name__ for s in SCENARIOS)}")
    arguments = parser.parse_args()
    world = World(arguments.root, arguments.journal, arguments.key)
    chosen = [s for s in SCENARIOS if not arguments.scenarios or s.__name__ in arguments.scenarios]
    outcomes = [run(scenario, world) for scenario in chosen]
    sys.exit(0 if outcomes and all(outcomes) else 1)


if __name__ == "__main__":
    main()
