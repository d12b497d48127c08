#!/bin/sh
# Runs inside the LocalStack container when it is ready: deploys template.yaml, unchanged.
set -eu

folder=${CARAWAY_FOLDER:-/caraway}
bucket=caraway-deploy
packaged=$(mktemp)
# `cloudformation package` takes the endpoint of its uploads from here alone.
export AWS_ENDPOINT_URL="${AWS_ENDPOINT_URL:-http://127.0.0.1:4566}"

if [ ! -d "$folder/build/lambda/caraway" ]; then
    echo "caraway: build/lambda is empty; run 'make package' first, then start again" >&2
    exit 1
fi
case $(uname -m) in
    aarch64 | arm64) architecture=arm64 ;;
    *) architecture=x86_64 ;;
esac

awslocal s3 mb "s3://$bucket"
# Zips CodeUri, puts it in the bucket and writes its address into a copy of the template.
awslocal cloudformation package --template-file "$folder/template.yaml" \
    --s3-bucket "$bucket" --output-template-file "$packaged"
awslocal cloudformation deploy --template-file "$packaged" --stack-name caraway \
    --capabilities CAPABILITY_IAM CAPABILITY_AUTO_EXPAND --no-fail-on-empty-changeset \
    --parameter-overrides "App=${CARAWAY_APP:-caraway.demo.app:app}" \
    "Architecture=$architecture" "ScheduleState=${CARAWAY_SCHEDULE_STATE:-ENABLED}"
rm -f "$packaged"
echo "caraway: deployed"
