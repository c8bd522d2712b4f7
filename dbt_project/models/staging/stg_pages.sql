select
    id as page_id,
    domain,
    language,
    dump,
    nullif(left(coalesce(nullif(timestamp, ''), dump), 4), '') as year,
    file as crawl_file,
    n_bytes::bigint as n_bytes,
    len(regexp_extract_all(text, '\S+'))::bigint as n_words
from {{ source('lake', 'corpora__pages') }}
