with tokens as (
    -- Two pages of one id have one text.
    select id, any_value(n_tokens)::bigint as n_tokens
    from {{ source('lake', 'internlm2__text__tokens') }}
    group by id
)

select
    id as page_id,
    domain,
    language,
    dump,
    nullif(left(coalesce(nullif(timestamp, ''), dump), 4), '') as year,
    file as crawl_file,
    n_bytes::bigint as n_bytes,
    len(regexp_extract_all(text, '\S+'))::bigint as n_words,
    n_tokens
from {{ source('lake', 'internlm2__text__clean') }}
left join tokens using (id)
