#!/bin/bash
# git on a repository of its own: 200 commits, branches, merges, blame, gc with two threads, fsck, clone. Dates and
# identities are fixed, so every hash is too. The packs' own bytes are not compared: which deltas two threads find
# depends on how they shared the work.
set -u
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"

needs() { need_command git git; need_command perl perl-base; }

# git runs an alias of this kind in a shell, whose parent is git.
# shellcheck disable=SC2016  # that shell is to see PPID
maps() { under git -c alias.maps='!cat /proc/$PPID/maps' maps; }

run() {
    export GIT_AUTHOR_NAME=A GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=C GIT_COMMITTER_EMAIL=c@example.org
    export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null GIT_PAGER=cat GIT_MERGE_AUTOEDIT=no
    perl "$PAYLOADS/text.pl" 3 2 | split -l 400 -a 2 - text.
    under git init -q -b main repository || die "git init failed"
    cp text.* repository/ || die "no repository"
    cd repository || die "no repository"
    # gc only when we say so: on its own it would go to the background.
    git config gc.auto 0 && git config pack.threads 2 && git config pack.windowMemory 50m
    local i file files=(text.*)
    for ((i = 0; i < 200; i++)); do
        export GIT_AUTHOR_DATE="$((1600000000 + i * 60)) +0000" GIT_COMMITTER_DATE="$((1600000000 + i * 60)) +0000"
        file=${files[i % ${#files[@]}]}
        sed -i "$((i % 300 + 1))s/^/changed by $i: /; $((i % 90 + 5))d" "$file"
        echo "line $i" >"new.$((i % 37))"
        under git add -A || die "add $i failed"
        under git commit -q -m "commit $i" || die "commit $i failed"
        case $((i % 20)) in
            7) under git checkout -q -b "side$i" || die "checkout $i failed" ;;
            11)
                under git checkout -q main || die "checkout $i failed"
                under git merge -q -s recursive -X theirs -m "merge $i" "side$((i - 4))" || die "merge $i failed"
                ;;
        esac
    done
    under git gc -q --aggressive --prune=now || die "git gc failed"
    under git fsck --full --strict >"$OUT/fsck" 2>&1 || die "git fsck failed"
    under git log --all --stat --format=fuller >"$OUT/log" || die "git log failed"
    under git log -p -M -C main >"$OUT/patches" || die "git log -p failed"
    under git blame "${files[1]}" >"$OUT/blame" || die "git blame failed"
    under git grep -n -E 'changed by [0-9]*7' main~10 >"$OUT/grep" || die "git grep found nothing"
    under git cat-file --batch-all-objects --batch-check >"$OUT/objects" || die "git cat-file failed"
    under git archive main | sha256sum >"$OUT/archive"
    under git clone -q --no-local . ../clone || die "git clone failed"
    under git -C ../clone rev-list --objects --all | sort >"$OUT/cloned"
}

program "$@"
