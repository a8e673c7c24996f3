#!/usr/bin/env bash
# What the step "Run scenarios" of action.yml does. It takes everything from
# variables, calls killpoint run, tells the outputs of the step, and ends with
# killpoint's own exit code.
set -euo pipefail

killpoint=$GITHUB_ACTION_PATH/bin/killpoint
report=$RUNNER_TEMP/killpoint-reports-${GITHUB_RUN_ATTEMPT:-1}-$$

scenarios=()
while IFS= read -r line; do
	line=${line#"${line%%[![:space:]]*}"} # without the space around it
	line=${line%"${line##*[![:space:]]}"}
	[ -z "$line" ] || scenarios+=("$line")
done <<<"$INPUT_SCENARIOS"
if [ ${#scenarios[@]} = 0 ]; then
	echo "::error title=killpoint::the input scenarios names no scenario"
	exit 2
fi

# The words of a shell, quotes and all, without anything being executed.
arguments=()
if [ -n "${INPUT_ARGS//[[:space:]]/}" ]; then
	words=$(xargs printf '%s\n' <<<"$INPUT_ARGS") || {
		echo "::error title=killpoint::the input args has a quote that does not end"
		exit 2
	}
	while IFS= read -r word; do arguments+=("$word"); done <<<"$words"
fi

echo "::group::killpoint doctor"
"$killpoint" doctor "${scenarios[@]}" || true # what does not work shows in the run itself
echo "::endgroup::"

code=0
"$killpoint" run --parallel "$INPUT_PARALLEL" --report "$report" ${arguments[@]+"${arguments[@]}"} -- "${scenarios[@]}" || code=$?

case $code in
0) outcome=passed ;;
1) outcome=failed ;;
2) outcome=refused ;;
4) outcome=inconclusive ;;
130) outcome=interrupted ;;
*) outcome=broken ;;
esac
{
	echo "outcome=$outcome"
	echo "exit-code=$code"
	[ ! -e "$report" ] || echo "report=$report"
} >>"$GITHUB_OUTPUT"
exit "$code"
