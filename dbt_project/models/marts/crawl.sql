with pages as (
    select domain, language, year, n_bytes, n_words, null as n_tokens, false as is_kept from {{ ref('stg_pages') }}
    union all
    select domain, language, year, n_bytes, n_words, n_tokens, true as is_kept from {{ ref('stg_clean_pages') }}
)

select
    domain,
    language,
    year,
    count(*) filter (where not is_kept)::bigint as n_pages,
    count(*) filter (where is_kept)::bigint as n_kept,
    coalesce(sum(n_bytes) filter (where not is_kept), 0)::bigint as n_bytes,
    coalesce(sum(n_bytes) filter (where is_kept), 0)::bigint as n_bytes_kept,
    coalesce(sum(n_words) filter (where is_kept), 0)::bigint as n_words_kept,
    coalesce(sum(n_tokens), 0)::bigint as n_tokens_kept
from pages
group by domain, language, year
